"""Typed identifiers: a UUID in the database, ``prefix_…`` on the wire.

The wire form is a TypeID (specification 0.3): a lower-case prefix, an underscore and the 128 bits of the UUID in 26
characters of Crockford's base 32. New ids are UUIDv7 (RFC 9562, section 5.7), so that they sort by their birth; ids
that must come out the same twice are UUIDv8 (section 5.8) over a SHA-256.
"""

import hashlib
import re
import secrets
from datetime import datetime
from typing import Any, ClassVar, Final, Self
from uuid import UUID

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from ledgerlink_kit.errors import Kind, Refused

_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_AS_PYTHON_READS: Final = str.maketrans(_ALPHABET, "0123456789abcdefghijklmnopqrstuv")
_WIRE: Final = re.compile(r"[0-7][0-9a-hjkmnp-tv-z]{25}")
_PAIRS: Final = tuple(first + second for first in _ALPHABET for second in _ALPHABET)
_SHIFTS: Final = tuple(range(120, -1, -10))


class InvalidId(Refused):
    """The text is no id of the kind asked for."""

    def __init__(self, text: str, prefix: str) -> None:
        super().__init__(
            Kind.UNPROCESSABLE,
            "invalid-id",
            f"{text[:40]!r} is not an id of this kind; it would read '{prefix}_' and 26 characters.",
        )


def uuid7(now: datetime) -> UUID:
    """Make a UUIDv7 for the moment ``now`` (RFC 9562, section 5.7): 48 bits of milliseconds, 74 bits of randomness."""
    milliseconds = int(now.timestamp() * 1000)
    random = secrets.randbits(74)
    value = (milliseconds & (2**48 - 1)) << 80 | 7 << 76 | (random >> 62) << 64 | 2 << 62 | random & (2**62 - 1)
    return UUID(int=value)


def uuid8(*parts: str) -> UUID:
    """Derive a UUIDv8 (RFC 9562, section 5.8) from ``parts``: the same parts give the same id, anywhere, always."""
    digest = hashlib.sha256()
    for part in parts:
        raw = part.encode()
        # The length goes first, so that ("ab", "c") and ("a", "bc") differ.
        digest.update(len(raw).to_bytes(8) + raw)
    value = int.from_bytes(digest.digest()[:16])
    value = value & ~(0xF << 76) | 8 << 76
    return UUID(int=value & ~(0x3 << 62) | 2 << 62)


def _encode(value: int) -> str:
    # Ten bits a step: every answer writes several ids, and this is where its time would go.
    return "".join([_PAIRS[value >> shift & 1023] for shift in _SHIFTS])


class TypedId:
    """One kind of identifier. Subclass with a prefix: ``class WalletId(TypedId, prefix="wal")``."""

    __slots__ = ("_uuid",)
    prefix: ClassVar[str] = ""

    def __init_subclass__(cls, *, prefix: str) -> None:
        """Set the wire prefix of this kind of id."""
        super().__init_subclass__()
        cls.prefix = prefix

    def __init__(self, uuid: UUID) -> None:
        """Wrap the database's UUID."""
        self._uuid = uuid

    @property
    def uuid(self) -> UUID:
        """The id as the database keeps it."""
        return self._uuid

    @classmethod
    def new(cls, now: datetime) -> Self:
        """Make a fresh id whose order is its birth's order (UUIDv7)."""
        return cls(uuid7(now))

    @classmethod
    def derive(cls, *parts: str) -> Self:
        """Derive the id that belongs to ``parts``; the same parts give the same id (UUIDv8 over SHA-256)."""
        return cls(uuid8(cls.prefix, *parts))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the wire form. Raises `InvalidId`."""
        prefix, _, body = text.rpartition("_")
        if prefix != cls.prefix or _WIRE.fullmatch(body) is None:
            raise InvalidId(text, cls.prefix)
        return cls(UUID(int=int(body.translate(_AS_PYTHON_READS), 32)))

    def __str__(self) -> str:
        """Give the wire form."""
        return f"{self.prefix}_{_encode(self._uuid.int)}"

    def __repr__(self) -> str:
        """Name the kind and the wire form."""
        return f"{type(self).__name__}({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        """Two ids are equal when kind and value are."""
        return type(self) is type(other) and isinstance(other, TypedId) and self._uuid == other._uuid

    def __hash__(self) -> int:
        """Hash kind and value."""
        return hash((self.prefix, self._uuid))

    def __lt__(self, other: Self) -> bool:
        """Order as the database orders UUIDs, so that locks are taken in one order everywhere."""
        return self._uuid < other._uuid

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        """Read the wire form in a model, write it back on the way out."""

        def read(value: str) -> Self:
            try:
                return cls.parse(value)
            except InvalidId as error:
                raise ValueError(error.detail) from None

        from_wire = core_schema.no_info_after_validator_function(read, core_schema.str_schema(max_length=64))
        return core_schema.json_or_python_schema(
            json_schema=from_wire,
            python_schema=core_schema.union_schema([core_schema.is_instance_schema(cls), from_wire]),
            serialization=core_schema.plain_serializer_function_ser_schema(str),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: CoreSchema, _handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Describe the wire form to OpenAPI."""
        return {
            "type": "string",
            "pattern": f"^{cls.prefix}_{_WIRE.pattern}$",
            "examples": [f"{cls.prefix}_{'0' * 26}"],
        }
