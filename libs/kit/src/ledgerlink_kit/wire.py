"""How models read from and write to the wire: unknown fields are refused, numbers are never guessed from text."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from ledgerlink_kit.limits import METADATA_KEY_CHARS_MAX, METADATA_KEYS_MAX, METADATA_VALUE_CHARS_MAX


class RequestModel(BaseModel):
    """A request body: immutable, unknown fields refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=False, allow_inf_nan=False)


class ResponseModel(BaseModel):
    """A response body: immutable; written with `model_dump_json`."""

    model_config = ConfigDict(frozen=True, from_attributes=True)


Text = Annotated[str, Field(min_length=1, max_length=METADATA_VALUE_CHARS_MAX, pattern=r"^[^\x00]*$")]
"""A short text that PostgreSQL can store: no NUL."""

MetadataKey = Annotated[str, Field(min_length=1, max_length=METADATA_KEY_CHARS_MAX, pattern=r"^[^\x00]*$")]
MetadataValue = Annotated[str, Field(max_length=METADATA_VALUE_CHARS_MAX, pattern=r"^[^\x00]*$")]
Metadata = Annotated[dict[MetadataKey, MetadataValue], Field(max_length=METADATA_KEYS_MAX)]
"""The caller's own labels: up to 50 keys of 40 characters, values of 500."""
