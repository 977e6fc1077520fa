"""Proves that ids keep their kind, survive the wire, sort by birth, and derive the same twice."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from ledgerlink_kit.ids import InvalidId, TypedId, uuid7, uuid8

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)


class CatId(TypedId, prefix="cat"):
    """An id for tests."""


class DogId(TypedId, prefix="dog"):
    """Another kind."""


class Owner(BaseModel):
    """A model that holds an id."""

    cat: CatId


@given(st.uuids())
def test_the_wire_form_reads_back_to_the_same_id(uuid: UUID) -> None:
    assert CatId.parse(str(CatId(uuid))).uuid == uuid


def test_the_wire_form_is_that_of_the_typeid_specification() -> None:
    # The specification's own examples of "nil" and "max-valid".
    assert str(CatId(UUID(int=0))) == "cat_00000000000000000000000000"
    assert str(CatId(UUID(int=2**128 - 1))) == "cat_7zzzzzzzzzzzzzzzzzzzzzzzzz"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "cat",
        "cat_",
        "dog_00000000000000000000000000",
        "cat_8zzzzzzzzzzzzzzzzzzzzzzzzz",
        "cat_0000000000000000000000000",
        "cat_0000000000000000000000000U",
        "CAT_00000000000000000000000000",
        "cat_0000000000000000000000000é",
    ],
)
def test_a_text_of_another_form_or_kind_is_refused(text: str) -> None:
    with pytest.raises(InvalidId):
        CatId.parse(text)


def test_ids_of_two_kinds_are_never_equal() -> None:
    assert CatId(UUID(int=1)) != DogId(UUID(int=1))
    assert CatId(UUID(int=1)) == CatId(UUID(int=1))
    assert len({CatId(UUID(int=1)), CatId(UUID(int=1)), DogId(UUID(int=1))}) == 2


def test_new_ids_are_version_seven_and_sort_by_birth() -> None:
    born = [uuid7(MOMENT + timedelta(milliseconds=step)) for step in range(50)]
    assert born == sorted(born)
    assert {(uuid.version, uuid.variant) for uuid in born} == {(7, "specified in RFC 4122")}


def test_derived_ids_depend_on_every_part_and_on_the_kind() -> None:
    assert CatId.derive("a", "b") == CatId.derive("a", "b")
    assert CatId.derive("ab", "c") != CatId.derive("a", "bc")
    assert CatId.derive("a").uuid != DogId.derive("a").uuid
    assert uuid8("x").version == 8


def test_a_model_reads_and_writes_the_wire_form() -> None:
    cat = CatId.new(MOMENT)
    assert Owner.model_validate_json(f'{{"cat":"{cat}"}}') == Owner(cat=cat)
    assert Owner(cat=cat).model_dump_json() == f'{{"cat":"{cat}"}}'
    with pytest.raises(ValidationError, match="not an id of this kind"):
        Owner.model_validate({"cat": "dog_1"})
    assert Owner.model_json_schema()["properties"]["cat"]["pattern"].startswith("^cat_")
