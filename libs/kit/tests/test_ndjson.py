"""Proves that a stream is cut into the same lines whatever its pieces are, and never kept beyond the limit."""

from hypothesis import given
from hypothesis import strategies as st

from ledgerlink_kit.ndjson import TOO_LONG, LineSplitter, LineTooLong

MAX = 8


def cut(pieces: list[bytes]) -> list[bytes | LineTooLong]:
    splitter = LineSplitter(MAX)
    lines: list[bytes | LineTooLong] = []
    for piece in pieces:
        lines += splitter.feed(piece)
        assert splitter.held_bytes <= MAX + 1
    return [*lines, *splitter.end()]


def test_lines_end_with_a_line_feed_or_with_the_stream() -> None:
    assert cut([b'{"a":1}\n\r\n{}\r\n{"b"', b":2}"]) == [b'{"a":1}', b"", b"{}", b'{"b":2}']
    assert cut([]) == []
    assert cut([b"\n"]) == [b""]


def test_a_line_of_exactly_the_limit_passes_and_one_more_byte_is_too_long() -> None:
    assert cut([b"x" * MAX + b"\r\n" + b"x" * MAX + b"\n"]) == [b"x" * MAX, b"x" * MAX]
    assert cut([b"x" * (MAX + 1) + b"\nok\n" + b"y" * 9]) == [TOO_LONG, b"ok", TOO_LONG]


@given(
    st.lists(st.binary(max_size=12).map(lambda raw: raw.replace(b"\r", b"").replace(b"\n", b"")), max_size=8), st.data()
)
def test_it_does_not_matter_where_the_pieces_end(lines: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(line + b"\n" for line in lines)
    places = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    pieces = [stream[start:end] for start, end in zip([0, *places], [*places, len(stream)], strict=True)]

    assert cut(pieces) == [line if len(line) <= MAX else TOO_LONG for line in lines]
