"""Lines out of a stream of bytes, as newline-delimited JSON has them, in bounded memory.

A line ends with LF (a CR before it belongs to the end, so that files from Windows read the same); the last one may end
with the stream. Source: the NDJSON specification 1.0 (github.com/ndjson/ndjson-spec), sections 3.1 and 3.2.
"""

from collections.abc import Generator


class LineTooLong:
    """Stands for a line that was longer than allowed; its bytes were dropped as they came."""

    __slots__ = ()


TOO_LONG = LineTooLong()


class LineSplitter:
    """Cuts pieces of a stream into lines; of an unfinished line at most ``line_bytes_max`` bytes are kept."""

    def __init__(self, line_bytes_max: int) -> None:
        """Take lines of up to ``line_bytes_max`` bytes, their ends not counted."""
        self._max = line_bytes_max
        self._held = bytearray()
        self._dropping = False

    @property
    def held_bytes(self) -> int:
        """How much of the unfinished line is kept."""
        return len(self._held)

    def feed(self, piece: bytes) -> Generator[bytes | LineTooLong]:
        """Give the lines that end in ``piece``, in order; the rest waits for the next one. Must be run to its end."""
        start = 0
        while (end := piece.find(b"\n", start)) >= 0:
            self._keep(piece, start, end)
            yield self._line()
            start = end + 1
        self._keep(piece, start, len(piece))

    def end(self) -> Generator[bytes | LineTooLong]:
        """Give the line that the stream ended in, if it did."""
        if self._held or self._dropping:
            yield self._line()

    def _keep(self, piece: bytes, start: int, end: int) -> None:
        # One more than the limit is kept, since the last byte may be the CR of the line's end.
        if self._dropping or len(self._held) + end - start > self._max + 1:
            self._dropping = True
            self._held.clear()
        else:
            self._held += piece[start:end]

    def _line(self) -> bytes | LineTooLong:
        line = bytes(self._held).removesuffix(b"\r")
        too_long = self._dropping or len(line) > self._max
        self._held.clear()
        self._dropping = False
        return TOO_LONG if too_long else line
