"""Proves that a new field passes without a new version, and that anything a consumer would miss is named."""

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

FILE = Path(__file__).resolve().parent.parent / "exporting" / "compatibility.py"


def _breaks() -> Callable[[dict[str, Any], dict[str, Any]], Iterator[str]]:
    spec = importlib.util.spec_from_file_location("compatibility", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return cast("Callable[[dict[str, Any], dict[str, Any]], Iterator[str]]", module.breaks)


def schema(**fields: Any) -> dict[str, Any]:
    """An event's schema in which every field is promised."""
    return {"properties": fields, "required": sorted(fields)}


OLD = schema(amount_minor={"type": "integer"}, currency={"type": "string"})


def test_a_new_field_and_new_words_for_people_are_compatible() -> None:
    new = schema(
        amount_minor={"type": "integer", "description": "minor units"},
        currency={"type": "string"},
        payee={"type": "string"},
    )
    assert list(_breaks()(OLD, new)) == []


@pytest.mark.parametrize(
    ("new", "sentence"),
    [
        (schema(currency={"type": "string"}), "amount_minor is gone"),
        (schema(amount_minor={"type": "string"}, currency={"type": "string"}), "amount_minor changed its form"),
        ({**OLD, "required": ["currency"]}, "amount_minor is no longer always there"),
    ],
)
def test_what_a_consumer_would_miss_is_named(new: dict[str, Any], sentence: str) -> None:
    assert list(_breaks()(OLD, new)) == [sentence]


def test_a_change_inside_a_nested_shape_is_found() -> None:
    old = {**OLD, "$defs": {"Entry": schema(side={"type": "string"})}}
    new = {**OLD, "$defs": {"Entry": schema(side={"type": "integer"})}}
    assert list(_breaks()(old, new)) == ["Entry.side changed its form"]
