"""Proves where webhooks may go: every address that is not public is refused, in whatever clothes it comes."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledgerlink_kit.errors import Refused
from ledgerlink_payments.domain.addresses import check_url, literal_address, may_be_called


@pytest.mark.parametrize(
    "inside",
    [
        "0.0.0.1",
        "10.1.2.3",
        "100.64.0.1",
        "127.0.0.1",
        "127.255.255.254",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.8",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:8.8.8.8",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::8.8.8.8",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fd12:3456::1",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
    ],
)
def test_an_address_that_is_not_public_may_not_be_called(inside: str) -> None:
    assert not may_be_called(ip_address(inside), allow_loopback=False)


@pytest.mark.parametrize("public", ["1.1.1.1", "8.8.8.8", "172.32.0.1", "192.167.0.1", "2606:4700::1111", "2a00::1"])
def test_a_public_address_may_be_called(public: str) -> None:
    assert may_be_called(ip_address(public), allow_loopback=False)


def test_loopback_may_be_called_where_it_is_allowed_and_nothing_else_inside() -> None:
    allowed = [may_be_called(ip_address(text), allow_loopback=True) for text in ("127.0.0.1", "127.9.9.9", "::1")]
    assert allowed == [True] * 3
    refused = [
        may_be_called(ip_address(text), allow_loopback=True)
        for text in ("10.0.0.1", "169.254.169.254", "::ffff:127.0.0.1", "fe80::1", "0.0.0.1")
    ]
    assert refused == [False] * 5


@given(st.ip_addresses())
def test_whatever_python_calls_private_is_never_called(address: object) -> None:
    known = ip_address(str(address))
    if not known.is_global or known.is_multicast:
        assert not may_be_called(known, allow_loopback=False)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/hook",
        "ftp://example.com/",
        "example.com/hook",
        "https://",
        "https:///path",
        "https://user@example.com/",
        "https://user:pass@example.com/",
        "https://example.com/#part",
        "https://example.com:0/",
        "https://example.com:99999/",
        "https://example.com/a b",
        "https://exämple.com/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://169.254.169.254/latest/meta-data",
        "https://[fe80::1%25eth0]/",
        "https://[bad/",
        "https://example.com/" + "x" * 2048,
        "javascript:alert(1)",
        "https://example.com/\r\nX: y",
    ],
)
def test_a_url_that_no_endpoint_may_have_is_refused(url: str) -> None:
    with pytest.raises(Refused, match="url-invalid"):
        check_url(url, allow_loopback=False)


@pytest.mark.parametrize("url", ["https://example.com/hook?x=1", "https://example.com:8443", "https://1.1.1.1/"])
def test_a_public_https_url_is_accepted_as_it_is(url: str) -> None:
    assert check_url(url, allow_loopback=False) == url


def test_plain_http_is_accepted_only_where_loopback_is() -> None:
    assert check_url("http://127.0.0.1:9000/hook", allow_loopback=True)
    with pytest.raises(Refused, match="url-invalid"):
        check_url("http://10.0.0.1/hook", allow_loopback=True)


@pytest.mark.parametrize("name", ["example.com", "2130706433", "0x7f.1", "127.1", "localhost"])
def test_odd_spellings_count_as_names_and_are_judged_by_what_they_resolve_to(name: str) -> None:
    assert literal_address(name) is None
