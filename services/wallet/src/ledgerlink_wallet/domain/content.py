"""What was asked, in one canonical form: equal requests have equal bytes, unequal ones are told apart by field."""

import json
from hashlib import sha256
from typing import Any, cast

from ledgerlink_wallet.domain.orders import Content


def content_of(fields: bytes) -> Content:
    """Make the content of canonical JSON ``fields`` (keys sorted, no spaces, absent fields left out)."""
    return Content(fields, sha256(fields).digest())


def differences(before: bytes, now: bytes) -> list[str]:
    """Name the fields that differ between two contents, as dotted paths in order: ``postings.0.amount_minor``."""
    return sorted(_paths(json.loads(before), json.loads(now), ""))


def _paths(before: Any, now: Any, path: str) -> list[str]:
    if before == now:
        return []
    if isinstance(before, dict) and isinstance(now, dict):
        left, right = cast("dict[str, Any]", before), cast("dict[str, Any]", now)
        return [
            found
            for name in left.keys() | right.keys()
            for found in _paths(left.get(name), right.get(name), f"{path}.{name}" if path else name)
        ]
    if isinstance(before, list) and isinstance(now, list):
        ours, theirs = cast("list[Any]", before), cast("list[Any]", now)
        if len(ours) == len(theirs):
            pairs = zip(ours, theirs, strict=True)
            return [found for i, (a, b) in enumerate(pairs) for found in _paths(a, b, f"{path}.{i}")]
    return [path]
