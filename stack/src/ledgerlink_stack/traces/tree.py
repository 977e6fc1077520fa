"""A trace as a tree of text: one line a span, what was done for it below it, what followed it later after that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ledgerlink_stack.traces.receiver import SeenSpan

_NS_PER_MS: Final = 1_000_000
_SHOWN: Final = ("http.response.status_code", "error.type", "cloudevents.event_type", "service.peer.name")
"""Attributes that say more than a span's name, in the order in which they stand behind it."""


@dataclass(frozen=True, slots=True)
class Branch:
    """A span with what stands below it."""

    span: SeenSpan
    below: tuple[Branch, ...]


def branches(spans: Sequence[SeenSpan]) -> list[Branch]:
    """Return the roots: spans whose parent is not among `spans`, the client's own among them."""
    known = {span.span_id for span in spans}
    return [_branch(span, spans) for span in _ordered(spans, None) if span.parent_id not in known]


def _branch(span: SeenSpan, spans: Sequence[SeenSpan]) -> Branch:
    children = [child for child in spans if child.parent_id == span.span_id]
    return Branch(span, tuple(_branch(child, spans) for child in _ordered(children, span)))


def _ordered(spans: Sequence[SeenSpan], parent: SeenSpan | None) -> list[SeenSpan]:
    """Sort by time what was done for the parent; then, by name, what other processes did of it when they came to it."""

    def place(span: SeenSpan) -> tuple[bool, str, int]:
        later = is_later(span, parent)
        return later, f"{span.service} {span.name}" if later else "", span.started_ns

    return sorted(spans, key=place)


def is_later(span: SeenSpan, parent: SeenSpan | None) -> bool:
    """Say whether nobody waited for a span: it was published, or begun when its parent had ended."""
    return parent is not None and (span.kind in {"producer", "consumer"} or span.started_ns >= parent.ended_ns)


def label(span: SeenSpan) -> str:
    """Return what a span is, without its times: where, what kind, its name, and what came of it."""
    told = [str(span.attributes[name]) for name in _SHOWN if name in span.attributes]
    if span.failed:
        told.append("ERROR")
    return " · ".join([span.service, span.kind, span.name, *dict.fromkeys(told)])


def outline(spans: Sequence[SeenSpan]) -> str:
    """Return the tree without times: the same for each payment of a kind."""
    return "\n".join(f"{'  ' * depth}{label(branch.span)}" for depth, branch in _walk(branches(spans), 0))


def _walk(roots: Sequence[Branch], depth: int) -> Iterator[tuple[int, Branch]]:
    for branch in roots:
        yield depth, branch
        yield from _walk(branch.below, depth + 1)


def drawn(spans: Sequence[SeenSpan]) -> str:
    """Return the tree for people: since the trace's begin and for how long, in milliseconds, then the span."""
    begin = min((span.started_ns for span in spans), default=0)
    lines = [f"{'from ms':>9} {'for ms':>8}"]
    for root in branches(spans):
        lines += _drawn(root, begin, "", "")
    return "\n".join(lines)


def _drawn(branch: Branch, begin: int, first: str, rest: str) -> list[str]:
    span = branch.span
    start, length = (span.started_ns - begin) / _NS_PER_MS, (span.ended_ns - span.started_ns) / _NS_PER_MS
    lines = [f"{start:9.1f} {length:8.1f}  {first}{label(span)}"]
    for number, child in enumerate(branch.below):
        last = number == len(branch.below) - 1
        lines += _drawn(child, begin, rest + ("└─ " if last else "├─ "), rest + ("   " if last else "│  "))
    return lines
