"""Proves what of a request's headers and path is refused, stripped, kept and made."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledgerlink_gateway.domain.headers import (
    HEADERS_MAX,
    check_path,
    client_address,
    kept_request_id,
    kept_traceparent,
    parse_networks,
    passed_answer,
    read_request,
)
from ledgerlink_gateway.domain.refusals import EdgeRefusal, Reason

HOST = (b"host", b"api.example")


def _refusal(*headers: tuple[bytes, bytes], version: str = "1.1") -> Reason:
    with pytest.raises(EdgeRefusal) as caught:
        read_request(headers, version)
    return caught.value.reason


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ([], Reason.HOST_INVALID),
        ([HOST, HOST], Reason.HOST_INVALID),
        ([(b"host", b"")], Reason.HOST_INVALID),
        ([(b"host", b"a b")], Reason.HOST_INVALID),
        ([(b"host", b"a,b")], Reason.HOST_INVALID),
        ([(b"host", b"user@a")], Reason.HOST_INVALID),
        ([(b"host", b"a/b")], Reason.HOST_INVALID),
        ([(b"host", b"a:port")], Reason.HOST_INVALID),
        ([HOST, (b"content-length", b"1"), (b"content-length", b"1")], Reason.FRAMING_INVALID),
        ([HOST, (b"content-length", b"-1")], Reason.FRAMING_INVALID),
        ([HOST, (b"content-length", b"+1")], Reason.FRAMING_INVALID),
        ([HOST, (b"content-length", b"1" * 16)], Reason.FRAMING_INVALID),
        ([HOST, (b"content-length", b"1"), (b"transfer-encoding", b"chunked")], Reason.FRAMING_INVALID),
        ([HOST, (b"transfer-encoding", b"chunked"), (b"transfer-encoding", b"chunked")], Reason.FRAMING_INVALID),
        ([HOST, (b"transfer-encoding", b"xchunked")], Reason.FRAMING_INVALID),
        ([HOST, (b"transfer-encoding", b"gzip, chunked")], Reason.FRAMING_INVALID),
        ([HOST, (b"transfer-encoding", b"")], Reason.FRAMING_INVALID),
        ([HOST, (b"upgrade", b"h2c"), (b"content-length", b"3")], Reason.FRAMING_INVALID),
        ([HOST, (b"upgrade", b"h2c"), (b"transfer-encoding", b"chunked")], Reason.FRAMING_INVALID),
        ([HOST, (b"authorization", b"Bearer a"), (b"authorization", b"Bearer b")], Reason.HEADER_INVALID),
        ([HOST, (b"content-type", b"a"), (b"content-type", b"b")], Reason.HEADER_INVALID),
        ([HOST, (b"idempotency-key", b"a"), (b"idempotency-key", b"b")], Reason.HEADER_INVALID),
        ([HOST, *[(b"x-%d" % n, b"") for n in range(HEADERS_MAX)]], Reason.HEADERS_TOO_LARGE),
        ([HOST, (b"x", b"y" * 40_000)], Reason.HEADERS_TOO_LARGE),
    ],
)
def test_a_head_that_two_readers_could_read_differently_is_refused(
    headers: list[tuple[bytes, bytes]], reason: Reason
) -> None:
    assert _refusal(*headers) is reason


@pytest.mark.parametrize("version", ["0.9", "2", "1.2"])
def test_other_versions_are_not_spoken(version: str) -> None:
    assert _refusal(HOST, version=version) is Reason.VERSION_UNSUPPORTED


def test_http_1_0_may_leave_out_the_host_but_may_not_chunk() -> None:
    assert read_request([], "1.0").host == b""
    assert _refusal((b"transfer-encoding", b"chunked"), version="1.0") is Reason.FRAMING_INVALID


@pytest.mark.parametrize("host", [b"a", b"api.example:8080", b"127.0.0.1:1", b"[::1]:80", b"xn--bcher-kva.example"])
def test_a_sound_host_passes(host: bytes) -> None:
    assert read_request([(b"host", host)], "1.1").host == host


@pytest.mark.parametrize(
    "name",
    [
        b"x-user-id",
        b"x-caller-subject",
        b"x-auth-roles",
        b"x-ledgerlink-scope",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-user",
        b"x-real-ip",
        b"forwarded",
        b"x-original-url",
        b"x-http-method-override",
        b"remote-user",
        b"x_user_id",
        b"content_length",
        b"connection",
        b"keep-alive",
        b"te",
        b"trailer",
        b"upgrade",
        b"proxy-authorization",
        b"proxy-connection",
        b"expect",
    ],
)
def test_hop_by_hop_and_identity_headers_never_pass(name: bytes) -> None:
    assert read_request([HOST, (name, b"x")], "1.1").passed == []


def test_what_connection_names_is_dropped_but_not_what_the_edge_has_read() -> None:
    headers = [
        HOST,
        (b"connection", b"close, X-Secret, authorization, Idempotency-Key"),
        (b"x-secret", b"1"),
        (b"authorization", b"Bearer t"),
        (b"idempotency-key", b"k"),
        (b"accept", b"*/*"),
    ]
    assert [name for name, _ in read_request(headers, "1.1").passed] == [
        b"authorization",
        b"idempotency-key",
        b"accept",
    ]


@pytest.mark.parametrize(
    "path",
    [
        b"//v1",
        b"/a//b",
        b"/a/../b",
        b"/..",
        b"/a/.",
        b"/a/./b",
        b"/a%2fb",
        b"/a%2Fb",
        b"/%2e%2e/b",
        b"/a%5cb",
        b"/a\\b",
        b"/a%00",
        b"/a%0d%0ab",
        b"/%252e",
        b"/a b",
        b"/\xc3\xa9",
        b"a",
        b"",
        b"*",
        b"/" + b"a" * 5000,
    ],
)
def test_an_ambiguous_path_is_refused_and_not_repaired(path: bytes) -> None:
    with pytest.raises(EdgeRefusal) as caught:
        check_path(path, b"")
    assert caught.value.reason is Reason.PATH_INVALID


@pytest.mark.parametrize("path", [b"/", b"/v1/x", b"/.well-known/jwks.json", b"/a%20b", b"/a..b", b"/v1/x/"])
def test_a_plain_path_passes_as_it_is(path: bytes) -> None:
    assert check_path(path, b"a=%20&b=/../") == path.decode()


def test_a_query_holds_printable_ascii_only_and_not_too_much_of_it() -> None:
    for query in (b"a=\xff", b"a=\x00", b"a" * 9000):
        with pytest.raises(EdgeRefusal):
            check_path(b"/", query)


@pytest.mark.parametrize("given_id", [b"", b" ", b"a b", b"a\nb", b"<script>", b"x" * 129, b"\xff", None])
def test_a_request_id_that_could_harm_a_log_is_replaced(given_id: bytes | None) -> None:
    assert kept_request_id(given_id, b"made") == b"made"


def test_a_sound_request_id_is_kept() -> None:
    assert kept_request_id(b"req_1.a-B:2", b"made") == b"req_1.a-B:2"


@pytest.mark.parametrize(
    "parent",
    [
        None,
        b"",
        b"00-" + b"0" * 32 + b"-" + b"1" * 16 + b"-01",
        b"00-" + b"1" * 32 + b"-" + b"0" * 16 + b"-01",
        b"01-" + b"1" * 32 + b"-" + b"1" * 16 + b"-01",
        b"00-" + b"A" * 32 + b"-" + b"1" * 16 + b"-01",
        b"00-" + b"1" * 32 + b"-" + b"1" * 16 + b"-01-extra",
    ],
)
def test_a_traceparent_that_is_not_valid_is_replaced(parent: bytes | None) -> None:
    assert kept_traceparent(parent, b"made") == b"made"


def test_a_valid_traceparent_is_kept() -> None:
    parent = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
    assert kept_traceparent(parent, b"made") == parent


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("9.9.9.9", b"1.1.1.1", "9.9.9.9"),
        ("10.0.0.1", b"", "10.0.0.1"),
        ("10.0.0.1", b"1.1.1.1", "1.1.1.1"),
        ("10.0.0.1", b"6.6.6.6, 1.1.1.1", "1.1.1.1"),
        ("10.0.0.1", b"6.6.6.6, 1.1.1.1, 10.0.0.2", "1.1.1.1"),
        ("10.0.0.1", b"1.1.1.1, junk", "10.0.0.1"),
        ("10.0.0.1", b"junk, 1.1.1.1", "1.1.1.1"),
        ("10.0.0.1", b"10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", b"2001:db8::1", "2001:db8::1"),
    ],
)
def test_only_trusted_proxies_are_believed_about_the_client(peer: str, forwarded: bytes, address: str) -> None:
    assert client_address(peer, forwarded, parse_networks(["10.0.0.0/8"])) == address


def test_without_trusted_proxies_the_peer_is_the_client() -> None:
    assert client_address("10.0.0.1", b"1.1.1.1", ()) == "10.0.0.1"


def test_an_answer_loses_hop_by_hop_headers_and_those_that_the_edge_sets() -> None:
    answer = [
        (b"content-type", b"text/plain"),
        (b"connection", b"x-internal"),
        (b"x-internal", b"1"),
        (b"keep-alive", b"timeout=5"),
        (b"transfer-encoding", b"chunked"),
        (b"server", b"uvicorn"),
        (b"x-request-id", b"1"),
        (b"set-cookie", b"a=1"),
        (b"set-cookie", b"b=2"),
    ]
    assert passed_answer(answer) == [(b"content-type", b"text/plain"), (b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")]


@given(st.lists(st.tuples(st.binary(max_size=12), st.binary(max_size=12)), max_size=8))
def test_any_headers_are_either_read_or_refused(headers: list[tuple[bytes, bytes]]) -> None:
    try:
        seen = read_request(headers, "1.1")
    except EdgeRefusal:
        return
    assert set(seen.passed) <= set(headers)


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_any_path_is_either_plain_or_refused(path: bytes, query: bytes) -> None:
    try:
        text = check_path(path, query)
    except EdgeRefusal:
        return
    assert ".." not in text.split("/")
    assert "//" not in text
