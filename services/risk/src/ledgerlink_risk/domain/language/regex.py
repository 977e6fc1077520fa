"""Regular expressions in linear time: the one door to RE2, which has no types of its own."""

from collections.abc import Callable
from typing import Any, Final, cast

import re2

_MEMORY_BYTES_MAX: Final = 1024 * 1024
"""What one compiled pattern may take; a pattern that needs more is refused."""

_re2: Final = cast(Any, re2)


class InvalidPattern(ValueError):
    """The text is no regular expression in RE2's syntax, or needs too much memory."""


def searcher(pattern: str) -> Callable[[str], bool]:
    """Compile a pattern to a function that says whether it matches anywhere in a text. Raises `InvalidPattern`."""
    options = _re2.Options()
    options.max_mem = _MEMORY_BYTES_MAX
    options.log_errors = False
    try:
        search: Callable[[str], object | None] = _re2.compile(pattern, options=options).search
    except _re2.error:
        raise InvalidPattern(pattern) from None
    return lambda text: search(text) is not None
