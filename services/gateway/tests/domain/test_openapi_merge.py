"""Proves that the merged document shows what the public can reach, under its public path, with names that fit."""

from typing import Any

from ledgerlink_gateway.domain.gcra import Per, Policy
from ledgerlink_gateway.domain.openapi_merge import PARTS_MEMBER, merge
from ledgerlink_gateway.domain.route_table import Access, Route, compile_table

TABLE = compile_table(
    [
        Route(name="things", prefix="/api/things", upstream="store", target="/things"),
        Route(name="people", prefix="/api/people", upstream="staff", target="/people"),
        Route(name="open", prefix="/api/people/open", upstream="staff", target="/people/open", access=Access.PUBLIC),
    ],
    [Policy(name="address", per=Per.ADDRESS, quota=10, window_s=1)],
    ["store", "staff"],
)
OWN: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "House", "version": "1"},
    "paths": {},
    "components": {"schemas": {"Problem": {"type": "object"}}, "securitySchemes": {"bearer": {"type": "http"}}},
}
SERVED = {"store": {"state": "served"}, "staff": {"state": "served"}}


def _part(path: str, schemas: dict[str, Any], schema: str = "Thing") -> dict[str, Any]:
    answer = {
        "description": "OK",
        "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}},
    }
    return {
        "paths": {path: {"get": {"operationId": "read", "responses": {"200": answer}}}, "/internal": {"get": {}}},
        "components": {"schemas": {"Problem": {"type": "object"}, **schemas}},
    }


def _schema_of(document: dict[str, Any], path: str) -> str:
    return document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]["$ref"]


def test_paths_are_public_and_what_no_row_leads_to_is_left_out() -> None:
    document = merge(OWN, {"store": _part("/things/{id}", {"Thing": {"type": "string"}})}, TABLE, SERVED)
    assert list(document["paths"]) == ["/api/things/{id}"]
    assert document["openapi"] == "3.1.0"


def test_like_components_are_shared_and_unlike_ones_prefixed_with_their_part() -> None:
    parts = {
        "store": _part("/things", {"Thing": {"type": "string"}, "Page": {"type": "integer"}}),
        "staff": _part("/people", {"Thing": {"type": "object"}, "Page": {"type": "integer"}}),
    }
    document = merge(OWN, parts, TABLE, SERVED)
    assert set(document["components"]["schemas"]) == {"Problem", "Page", "StoreThing", "StaffThing"}
    assert _schema_of(document, "/api/things") == "#/components/schemas/StoreThing"
    assert _schema_of(document, "/api/people") == "#/components/schemas/StaffThing"


def test_like_components_that_lead_to_unlike_ones_are_not_shared() -> None:
    page = {"type": "array", "items": {"$ref": "#/components/schemas/Thing"}}
    book = {"properties": {"pages": {"$ref": "#/components/schemas/Page"}}}
    parts = {
        "store": _part("/things", {"Thing": {"type": "string"}, "Page": page, "Book": book}, "Book"),
        "staff": _part("/people", {"Thing": {"type": "object"}, "Page": page, "Book": book}, "Book"),
    }
    schemas = merge(OWN, parts, TABLE, SERVED)["components"]["schemas"]
    assert schemas["StoreBook"]["properties"]["pages"]["$ref"] == "#/components/schemas/StorePage"
    assert schemas["StaffPage"]["items"]["$ref"] == "#/components/schemas/StaffThing"


def test_every_reference_leads_to_a_component_that_is_there() -> None:
    discriminator = {"discriminator": {"mapping": {"t": "#/components/schemas/Thing"}}}
    parts = {
        "store": _part("/things", {"Thing": {"type": "string"}, "Any": discriminator}),
        "staff": _part("/people", {"Thing": {"type": "object"}, "Any": discriminator}),
    }
    document = merge(OWN, parts, TABLE, SERVED)
    schemas = document["components"]["schemas"]
    mapping = schemas["StoreAny"]["discriminator"]["mapping"]
    assert mapping == {"t": "#/components/schemas/StoreThing"}
    assert "StoreThing" in schemas


def test_operations_have_unique_ids_a_group_and_what_the_edge_adds() -> None:
    parts = {"store": _part("/things", {"Thing": {}}), "staff": _part("/people/open", {"Thing": {}})}
    document = merge(OWN, parts, TABLE, SERVED)
    guarded, public = document["paths"]["/api/things"]["get"], document["paths"]["/api/people/open"]["get"]
    assert (guarded["operationId"], public["operationId"]) == ("store_read", "staff_read")
    assert guarded["tags"] == ["store"]
    assert {"401", "429", "502", "503", "504"} <= set(guarded["responses"])
    assert guarded["security"] == [{"bearer": []}]
    assert "security" not in public


def test_a_part_that_is_away_is_named_in_the_document() -> None:
    states = {"store": {"state": "unavailable", "reason": "upstream-timeout"}, "staff": {"state": "stale"}}
    document = merge(OWN, {"staff": _part("/people", {"Thing": {}})}, TABLE, states)
    assert document[PARTS_MEMBER] == states
    assert "store" in document["info"]["description"]
    assert list(document["paths"]) == ["/api/people"]
