"""The shape of a check, and the two ways of looking that keep memory bounded however long the books are.

Rows that must fit each other are compared by fingerprints: both sides are read once, from end to end, without a join or
a sort; each row is hashed with a seed that is drawn anew for each audit, and the hashes are added up in buckets. Equal
sums mean equal rows, but for a chance of one in 2^64 that nobody can arrange beforehand. Only where sums differ are the
rows of that bucket joined, to name the first that do not fit.
"""

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from ledgerlink_kit.invariants import DIFFERENCES_MAX

BUCKETS: Final = 1024
_BUCKETS_JOINED: Final = 4
"""Buckets whose rows are joined at the most, once sums differ."""
STREAM_ROWS: Final = 2_000

Tick = Callable[[int], None]
"""Told how many rows have been looked at so far."""


class Looked(NamedTuple):
    """What a check looked at, and the first differences that it found, in sentences."""

    examined: int
    differences: list[str]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must hold of the books. ``entries`` says that what it examines are the ledger's entries."""

    name: str
    description: str
    look: Callable[[AsyncConnection, Tick], Awaitable[Looked]]
    entries: bool = False


class Notes:
    """Differences, no more than anybody reads."""

    def __init__(self) -> None:
        """Note nothing yet."""
        self.differences: list[str] = []

    def add(self, difference: str) -> None:
        """Note one, if there is room."""
        if len(self.differences) < DIFFERENCES_MAX:
            self.differences.append(difference)


def nobody_listens(_done: int) -> None:
    """Hear how far a check is, and do nothing about it."""


async def none_found(view: AsyncConnection, count: str, find: str, sentence: str) -> Looked:
    """Run ``find``, whose every row is a difference, told by ``sentence``; ``count`` says how much was looked at."""
    examined = await view.scalar(text(count)) or 0
    found = (await view.execute(text(f"{find} LIMIT {DIFFERENCES_MAX}"))).mappings().all()
    return Looked(examined, [sentence.format(**row) for row in found])


def set_check(name: str, description: str, count: str, find: str, sentence: str) -> Check:
    """Make a check of one statement that finds what breaks the promise."""

    async def look(view: AsyncConnection, _tick: Tick) -> Looked:
        return await none_found(view, count, find, sentence)

    return Check(name, description, look)


class Sides(NamedTuple):
    """Two queries that must give the same rows: columns in ``columns``, the first ``keys`` of them told first.

    Both must give the columns and ``bucket_by``, a uuid that tells where a row's sum goes.
    """

    left: str
    right: str
    columns: tuple[str, ...]
    keys: tuple[str, ...]
    bucket_by: str


def _sums(side: str, sides: Sides) -> str:
    row = ", ".join(sides.columns)
    return (
        f"SELECT (uuid_hash_extended({sides.bucket_by}, :seed) & {BUCKETS - 1})::int AS bucket, count(*) AS rows, "  # noqa: S608 - our own names
        f"sum(hash_record_extended(ROW({row}), :seed)) AS total FROM ({side}) AS side GROUP BY 1"
    )


def _misfits(sides: Sides) -> str:
    keys = " AND ".join(f"l.{key} = r.{key}" for key in sides.keys)
    left, right = (", ".join(f"{side}.{column}" for column in sides.columns) for side in "lr")
    some = f"WHERE (uuid_hash_extended({sides.bucket_by}, :seed) & {BUCKETS - 1})::int = ANY(:buckets)"
    shown = ", ".join(f"coalesce(l.{key}, r.{key}) AS {key}" for key in sides.keys)
    whole = "jsonb_build_object(" + ", ".join(f"'{column}', {{0}}.{column}" for column in sides.columns) + ")"
    return (
        f"SELECT {shown}, CASE WHEN l.{sides.keys[0]} IS NOT NULL THEN {whole.format('l')} END AS ours, "  # noqa: S608 - our own names
        f"CASE WHEN r.{sides.keys[0]} IS NOT NULL THEN {whole.format('r')} END AS theirs "
        f"FROM (SELECT * FROM ({sides.left}) AS a {some}) AS l "
        f"FULL JOIN (SELECT * FROM ({sides.right}) AS b {some}) AS r ON {keys} "
        f"WHERE ROW({left}) IS DISTINCT FROM ROW({right}) LIMIT {DIFFERENCES_MAX}"
    )


async def fingerprints_fit(
    view: AsyncConnection, sides: Sides, tell: Callable[[dict[str, Any], dict[str, Any] | None, Any], str]
) -> Looked:
    """Compare two sides; ``tell`` makes a sentence of the keys, the left row and the right row of each misfit."""
    seed = secrets.randbits(62)
    # A record of several types can be hashed only without the planner's wish to gather it from parallel workers.
    left = {row.bucket: row for row in await view.execute(text(_sums(sides.left, sides)), {"seed": seed})}
    right = {row.bucket: row for row in await view.execute(text(_sums(sides.right, sides)), {"seed": seed})}
    examined = sum(row.rows for row in left.values())
    nothing = (None, 0, 0)
    torn = [
        bucket
        for bucket in left.keys() | right.keys()
        if tuple(left.get(bucket, nothing))[1:] != tuple(right.get(bucket, nothing))[1:]
    ]
    if not torn:
        return Looked(examined, [])
    values = {"seed": seed, "buckets": torn[:_BUCKETS_JOINED]}
    found = (await view.execute(text(_misfits(sides)), values)).mappings().all()
    told = [tell({key: row[key] for key in sides.keys}, row["ours"], row["theirs"]) for row in found]
    return Looked(examined, told or [f"{len(torn)} of {BUCKETS} sums differ, and no row was found that does not fit"])


def what_differs(ours: dict[str, Any] | None, theirs: dict[str, Any] | None, left: str, right: str) -> str:
    """Say of two rows which columns differ, or which row is missing; ``left`` and ``right`` name the two sides."""
    if ours is None:
        return f"there is no {left}"
    if theirs is None:
        return f"there is no {right}"
    return "; ".join(
        f"{name} is {ours[name]} in the {left}, {theirs[name]} in the {right}"
        for name in ours
        if ours[name] != theirs[name]
    )
