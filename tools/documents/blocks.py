"""Shell blocks of a page, executed as they stand: in order, in one shell, each output compared with what is shown.

A block marked ``bash`` is executed. A block marked ``json``, ``text`` or ``csv`` after it shows what it prints: values
of JSON by their meaning, text line by line. ``…`` stands for anything: the rest of an object or list, a part of a text,
or, alone in a line, any lines. A whole id (``usr_`` and 26 characters) or moment stands for any other of its kind.
"""

import json
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, cast

from documents.markdown import Block, Page

EXECUTED: Final = "bash"
SHOWN: Final = ("json", "text", "csv")
ANYTHING: Final = "…"
_ID: Final = re.compile(r"([a-z]+_)[0-9a-hjkmnp-tv-z]{26}")
_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_MARK: Final = "~~ block of line"


@dataclass(frozen=True, slots=True)
class Step:
    """One executed block and what the page shows of its output, when it shows something."""

    block: Block
    shown: Block | None


class Broken(AssertionError):
    """A block ended badly, or printed something else than the page shows."""


def steps(page: Page, first_line: int = 1, last_line: int = 1_000_000) -> list[Step]:
    """The executed blocks of a page, or of some lines of it, each with the block that shows its output."""
    blocks = [block for block in page.blocks if first_line <= block.line <= last_line]
    known = [block for block in blocks if block.language in {EXECUTED, *SHOWN}]
    after = [*known[1:], None]
    return [
        Step(block, following if following is not None and following.language in SHOWN else None)
        for block, following in zip(known, after, strict=True)
        if block.language == EXECUTED
    ]


def execute(
    every: list[Step], folder: Path, environment: Mapping[str, str], replace: Mapping[str, str], seconds: int
) -> int:
    """Run the blocks in one shell in ``folder``; returns how many outputs were compared.

    ``replace`` puts this machine's addresses where the page names the usual ones. Raises Broken at the first fault.
    """
    script = "".join(f"printf '\\n{_MARK} %d\\n' {step.block.line}\n{step.block.text}\n" for step in every)
    for usual, ours in replace.items():
        script = script.replace(usual, ours)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env=dict(environment),
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    printed = dict(_printed(done.stdout))
    if done.returncode:
        last = max(printed, default=0)
        said = f"{printed.get(last, '')}\n{done.stderr}".strip()
        raise Broken(f"the block of line {last} ended with {done.returncode}: {said[-2_000:]}")
    for step in every:
        if step.shown is not None:
            for sentence in differences(step.shown, printed[step.block.line]):
                raise Broken(f"line {step.shown.line}: {sentence}\nprinted: {printed[step.block.line].strip()[:4_000]}")
    return sum(step.shown is not None for step in every)


def _printed(text: str) -> Iterator[tuple[int, str]]:
    """What each block printed, by its line."""
    marks = [*re.finditer(rf"^{_MARK} (\d+)\n", text, re.MULTILINE)]
    ends = [mark.start() - 1 for mark in marks[1:]] + [len(text)]
    for mark, end in zip(marks, ends, strict=True):
        yield int(mark[1]), text[mark.end() : end]


def differences(shown: Block, printed: str) -> Iterator[str]:
    """How an output differs from what the page shows."""
    if shown.language == "json":
        yield from _json_differences(shown.text, printed)
    else:
        yield from _text_differences(shown.text.splitlines(), printed.strip("\n").splitlines())


def _json_differences(shown: str, printed: str) -> Iterator[str]:
    try:
        wanted, found = list(values(completed(shown))), list(values(printed))
    except ValueError as error:
        yield f"is no JSON: {error}"
        return
    if len(wanted) != len(found):
        yield f"{len(wanted)} values are shown, {len(found)} were printed"
    for number, (one, other) in enumerate(zip(wanted, found, strict=False), 1):
        yield from unlike(one, other, f"value {number}")


def values(text: str) -> Iterator[Any]:
    """The JSON values that stand one after the other in a text."""
    decoder, at = json.JSONDecoder(), 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        value, at = decoder.raw_decode(text, at)
        yield value


def completed(text: str) -> str:
    """JSON in which ``…`` stands for the rest of an object or a list, as JSON that can be read."""
    out: list[str] = []
    open_: list[str] = []
    quoted = False
    for before, mark in pairwise(f" {text}"):
        if mark == '"' and before != "\\":
            quoted = not quoted
        elif not quoted and mark in "{[":
            open_.append(mark)
        elif not quoted and mark in "}]":
            open_.pop()
        out.append(
            (f'"{ANYTHING}":0' if open_[-1:] == ["{"] else f'"{ANYTHING}"') if mark == ANYTHING and not quoted else mark
        )
    return "".join(out)


def unlike(shown: Any, found: Any, where: str) -> Iterator[str]:
    """How a value differs from the one that is shown."""
    if isinstance(shown, dict) and isinstance(found, dict):
        yield from _unlike_objects(cast(dict[str, Any], shown), cast(dict[str, Any], found), where)
    elif isinstance(shown, list) and isinstance(found, list):
        yield from _unlike_lists(cast(list[Any], shown), cast(list[Any], found), where)
    elif isinstance(shown, str) and isinstance(found, str):
        if not alike(shown, found):
            yield f"{where}: {shown!r} is shown, {found!r} was printed"
    elif (isinstance(shown, bool), shown) != (isinstance(found, bool), found):
        yield f"{where}: {shown!r} is shown, {found!r} was printed"


def _unlike_objects(shown: dict[str, Any], found: dict[str, Any], where: str) -> Iterator[str]:
    rest = ANYTHING in shown
    for name, value in shown.items():
        if name == ANYTHING:
            continue
        if name not in found:
            yield f"{where}: {name} is shown, but was not printed"
        else:
            yield from unlike(value, found[name], f"{where}.{name}")
    more = sorted(set(found) - set(shown))
    if more and not rest:
        yield f"{where}: {', '.join(more)} was printed, but is not shown"


def _unlike_lists(shown: list[Any], found: list[Any], where: str) -> Iterator[str]:
    rest = shown[-1:] == [ANYTHING]
    wanted = shown[:-1] if rest else shown
    if len(found) < len(wanted) or (len(found) > len(wanted) and not rest):
        yield f"{where}: {len(wanted)} items are shown, {len(found)} were printed"
    for number, (one, other) in enumerate(zip(wanted, found, strict=False)):
        yield from unlike(one, other, f"{where}[{number}]")


def alike(shown: str, found: str) -> bool:
    """Whether a text is the one that is shown; a whole id or moment stands for any other, ``…`` for anything."""
    return bool(re.fullmatch("".join(_pattern(shown)), found.replace("\n", " ")))


def _pattern(shown: str) -> Iterator[str]:
    at = 0
    for part in re.finditer(f"{_ID.pattern}|(?:{_MOMENT.pattern})|{ANYTHING}", shown):
        yield re.escape(shown[at : part.start()])
        if part[0] == ANYTHING:
            yield ".*"
        elif (name := _ID.fullmatch(part[0])) is not None:
            yield re.escape(name[1]) + "[0-9a-hjkmnp-tv-z]{26}"
        else:
            yield _MOMENT.pattern
        at = part.end()
    yield re.escape(shown[at:])


def _text_differences(shown: Iterable[str], printed: list[str]) -> Iterator[str]:
    """How lines differ; a line that is ``…`` alone stands for any lines."""
    lines = list(shown)
    pattern = "".join("(?:.*\n)*?" if line == ANYTHING else f"(?:{''.join(_pattern(line))})\n" for line in lines)
    if not re.fullmatch(pattern, "".join(f"{line}\n" for line in printed)):
        yield "shown is\n" + "\n".join(lines)
