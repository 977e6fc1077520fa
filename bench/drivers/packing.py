"""Arguments in PostgreSQL's binary format, told by the casts that the store's SQL carries: `$3::bigint[]`.

psycopg has no dumper of its own that writes a list in binary without asking every element for its type. This is the
least that one would write for it: the type is known, so a column is packed in one pass.
"""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from struct import Struct
from typing import Any, Final

from ledgerlink_wallet.store import copying

_CAST: Final = re.compile(r"\$(\d+)::(\w+)(\[\])?")
_HEADER: Final = Struct(">iiIii")
_LONG: Final = Struct(">iq")
_NUMBER: Final = Struct(">ii")


def _nullable(pack: Callable[[Any], bytes]) -> Callable[[Any], bytes]:
    return lambda value: copying.NULL if value is None else pack(value)


_TYPES: Final[dict[str, tuple[int, Callable[[Any], bytes]]]] = {
    "uuid": (2950, copying.uuid_field),
    "text": (25, copying.text_field),
    "json": (114, copying.text_field),
    "jsonb": (3802, copying.jsonb_field),
    "bytea": (17, copying.bytes_field),
    "smallint": (21, _nullable(copying.smallint_field)),
    "integer": (23, _nullable(lambda value: _NUMBER.pack(4, value))),
    "bigint": (20, _nullable(lambda value: _LONG.pack(8, value))),
    "bool": (16, _nullable(lambda value: b"\x00\x00\x00\x01\x01" if value else b"\x00\x00\x00\x01\x00")),
    "timestamptz": (1184, _nullable(copying.moment_field)),
}
"""By name: the type's OID (pg_type.dat) and how a value is written with its length."""


@lru_cache(256)
def packers(sql: str) -> tuple[Callable[[Any], bytes], ...]:
    """Give what packs each of the statement's arguments, in their order."""
    found = {int(number): _packer(kind, is_array=bool(array)) for number, kind, array in _CAST.findall(sql)}
    return tuple(found[number] for number in sorted(found))


def _packer(kind: str, *, is_array: bool) -> Callable[[Any], bytes]:
    oid, pack = _TYPES[kind]

    def array(values: Sequence[Any]) -> bytes:
        if not values:
            return _HEADER.pack(0, 0, oid, 0, 0)[:12]
        return b"".join((_HEADER.pack(1, int(None in values), oid, len(values), 1), *map(pack, values)))

    # A value alone goes without the length that stands before it in a row.
    return array if is_array else lambda value: pack(value)[4:]
