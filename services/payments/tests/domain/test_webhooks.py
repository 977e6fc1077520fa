"""Proves the law of webhooks: signatures as the official library has them, retries over three days, secrets, health."""

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import assume, given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from ledgerlink_contracts.ids import WebhookEndpointId
from ledgerlink_kit.errors import Kind, Refused
from ledgerlink_payments.domain import webhooks
from ledgerlink_payments.domain.webhooks import (
    DISABLE_AFTER,
    RETRY_AFTER_MAX,
    SCHEDULE,
    DeliveryState,
    Endpoint,
    EndpointStatus,
    Health,
    Lane,
    Outcome,
    check_events,
    judge,
    next_wait,
    public_key,
    read_retry_after,
    secret_from,
    sign,
    signed_headers,
    verify,
)

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
OLD, NEW = secret_from(b"o" * 32), secret_from(b"n" * 32)


def endpoint() -> Endpoint:
    return Endpoint(WebhookEndpointId.new(NOW), "usr_x", "https://a.test/", ("*",), OLD, NOW)


@given(
    entropy=st.binary(min_size=32, max_size=32),
    text=st.text(max_size=200),
    message_id=st.from_regex(r"[a-z_0-9]{1,40}", fullmatch=True),
)
def test_the_official_library_verifies_what_we_sign(entropy: bytes, text: str, message_id: str) -> None:
    secret, body = secret_from(entropy), json.dumps({"text": text}).encode()
    assume(secret != OLD)
    headers = signed_headers([secret], message_id, datetime.now(UTC), body)
    assert Webhook(secret).verify(body, headers) == {"text": text}
    with pytest.raises(WebhookVerificationError):
        Webhook(OLD).verify(body, headers)


@given(
    body=st.binary(max_size=200),
    skew_s=st.integers(-299, 299),
    position=st.integers(0, 10_000),
    bit=st.integers(0, 7),
)
def test_a_signature_holds_within_five_minutes_and_for_no_other_body(
    body: bytes, skew_s: int, position: int, bit: int
) -> None:
    headers = signed_headers([OLD], "evt_1", NOW, body)
    assert verify([OLD], headers, body, NOW + timedelta(seconds=skew_s)) == "evt_1"
    changed = bytearray(body or b"\x00")
    changed[position % len(changed)] ^= 1 << bit
    with pytest.raises(Refused):
        verify([OLD], headers, bytes(changed), NOW)


GOOD = signed_headers([OLD], "evt_1", NOW, b"{}")


@pytest.mark.parametrize(
    "change",
    [
        {"webhook-id": ""},
        {"webhook-id": "evt_2"},
        {"webhook-timestamp": ""},
        {"webhook-timestamp": "soon"},
        {"webhook-timestamp": "-1"},
        {"webhook-timestamp": "99999999999999999999"},
        {"webhook-timestamp": str(int(NOW.timestamp()) + 1)},
        {"webhook-signature": ""},
        {"webhook-signature": "v1"},
        {"webhook-signature": "v1,"},
        {"webhook-signature": "v1,not base64 ü"},
        {"webhook-signature": "v2," + GOOD["webhook-signature"][3:]},
        {"webhook-signature": sign([NEW], "evt_1", NOW, b"{}")},
    ],
)
def test_a_message_whose_headers_are_forged_is_refused_without_a_reason(change: dict[str, str]) -> None:
    with pytest.raises(Refused) as refusal:
        verify([OLD], {**GOOD, **change}, b"{}", NOW)
    assert (refusal.value.kind, refusal.value.code) == (Kind.UNAUTHENTICATED, "webhook-signature-invalid")


def test_a_message_that_is_too_old_or_too_new_is_refused() -> None:
    for late in (timedelta(minutes=5, seconds=1), timedelta(minutes=-5, seconds=-1)):
        with pytest.raises(Refused):
            verify([OLD], GOOD, b"{}", NOW + late)


def test_one_good_signature_among_others_is_enough() -> None:
    mixed = {**GOOD, "webhook-signature": f"v1a,xyz v1,AAAA {GOOD['webhook-signature']}"}
    assert verify([NEW, OLD], mixed, b"{}", NOW) == "evt_1"


def test_while_a_secret_is_replaced_both_sign_and_each_receiver_is_content() -> None:
    rotated = endpoint().rotated(NEW, NOW, timedelta(hours=1))
    assert rotated.secrets(NOW) == (NEW, OLD)
    headers = signed_headers(rotated.secrets(NOW), "evt_1", NOW, b"{}")
    for secret in (OLD, NEW):
        assert verify([secret], headers, b"{}", NOW) == "evt_1"
    assert rotated.secrets(NOW + timedelta(hours=1)) == (NEW,)


def test_a_secret_replaced_at_once_no_longer_signs() -> None:
    assert endpoint().rotated(NEW, NOW, timedelta()).secrets(NOW) == (NEW,)


def test_a_second_rotation_ends_the_oldest_secret() -> None:
    newest = secret_from(b"z" * 32)
    rotated = endpoint().rotated(NEW, NOW, timedelta(hours=1)).rotated(newest, NOW, timedelta(hours=1))
    assert rotated.secrets(NOW) == (newest, NEW)


def test_a_secret_shows_neither_in_the_wire_form_nor_in_the_log() -> None:
    assert "secret" not in endpoint().wire()
    assert endpoint().wire(reveal=True)["secret"] == OLD
    assert OLD not in repr(endpoint())


def test_whoever_has_the_public_key_can_check_a_message_and_nobody_can_change_it() -> None:
    seed, body = b"k" * 32, b'{"a":1}'
    now = datetime.now(UTC)
    headers = signed_headers([OLD], "evt_1", now, body, seed)
    v1, v1a = headers["webhook-signature"].split()
    assert (v1[:3], v1a[:4]) == ("v1,", "v1a,")
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key(seed).removeprefix("whpk_")))
    signed = f"evt_1.{headers['webhook-timestamp']}.".encode() + body
    key.verify(base64.b64decode(v1a[4:]), signed)
    with pytest.raises(InvalidSignature):
        key.verify(base64.b64decode(v1a[4:]), signed + b" ")
    assert Webhook(OLD).verify(body, headers) == {"a": 1}, "a receiver that knows only v1 is content"


def test_the_key_of_an_endpoint_outlives_its_secret_and_only_its_public_half_is_shown() -> None:
    keyed = replace(endpoint(), seed=b"k" * 32)
    assert keyed.rotated(NEW, NOW, timedelta()).wire(reveal=True)["public_key"] == public_key(b"k" * 32)
    assert endpoint().wire()["public_key"] is None
    assert "kkkk" not in repr(keyed)


def test_the_schedule_lasts_about_three_days() -> None:
    assert timedelta(days=2, hours=12) < sum(SCHEDULE, timedelta()) < timedelta(days=3, hours=12)
    assert list(SCHEDULE) == sorted(SCHEDULE)


@given(tries=st.integers(1, len(SCHEDULE)), jitter=st.floats(0, 1, exclude_max=True))
def test_a_wait_lies_within_a_fifth_of_its_place_in_the_schedule(tries: int, jitter: float) -> None:
    wait = next_wait(tries, None, jitter)
    assert wait is not None
    assert SCHEDULE[tries - 1] * 0.799 <= wait <= SCHEDULE[tries - 1] * 1.201


def test_a_receiver_may_ask_for_more_patience_up_to_a_day_and_never_for_less() -> None:
    assert next_wait(1, timedelta(hours=2), 0.5) == timedelta(hours=2)
    assert next_wait(1, timedelta(days=9), 0.5) == RETRY_AFTER_MAX
    assert next_wait(5, timedelta(seconds=1), 0.5) == SCHEDULE[4]
    assert next_wait(len(SCHEDULE) + 1, timedelta(hours=1), 0.5) is None


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        (None, None),
        ("", None),
        ("120", timedelta(seconds=120)),
        (" 7 ", timedelta(seconds=7)),
        ("999999999999999999", RETRY_AFTER_MAX),
        ("-5", None),
        ("soon", None),
        ("²", None),
        ("Mon, 05 Jan 2026 12:00:30 GMT", timedelta(seconds=30)),
        ("Mon, 05 Jan 2026 11:00:00 GMT", None),
        ("Mon, 99 Foo 2026 11:00:00 GMT", None),
        ("1" * 100, None),
    ],
)
def test_retry_after_is_read_as_seconds_or_a_date_and_anything_else_is_ignored(
    header: str | None, wait: timedelta | None
) -> None:
    assert read_retry_after(header, NOW) == wait


@given(st.text(max_size=80))
def test_no_retry_after_header_breaks_the_reader(header: str) -> None:
    wait = read_retry_after(header, NOW)
    assert wait is None or timedelta() <= wait <= RETRY_AFTER_MAX


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_any_2xx_is_a_delivery_and_proves_the_endpoint(status: int) -> None:
    failing = Health(Lane.FAILING, NOW - timedelta(days=4))
    judgment = judge(Outcome(status), 3, failing, NOW, 0.5)
    assert (judgment.state, judgment.next_at, judgment.health) == (DeliveryState.DELIVERED, None, Health(Lane.PROVEN))


@pytest.mark.parametrize("status", [None, 100, 301, 307, 400, 404, 500, 503])
def test_anything_else_is_tried_again_and_marks_the_endpoint_as_failing(status: int | None) -> None:
    judgment = judge(Outcome(status, "why"), 1, Health(Lane.PROVEN), NOW, 0.5)
    assert (judgment.state, judgment.next_at) == (DeliveryState.PENDING, NOW + SCHEDULE[0])
    assert (judgment.health, judgment.disable) == (Health(Lane.FAILING, NOW), None)


def test_the_last_failure_ends_the_delivery() -> None:
    judgment = judge(Outcome(500), len(SCHEDULE) + 1, Health(), NOW, 0.5)
    assert (judgment.state, judgment.next_at) == (DeliveryState.EXHAUSTED, None)


def test_an_endpoint_that_fails_for_too_long_or_says_that_it_is_gone_is_disabled() -> None:
    almost = Health(Lane.FAILING, NOW - DISABLE_AFTER + timedelta(seconds=1))
    assert judge(Outcome(500), 1, almost, NOW, 0.5).disable is None
    assert judge(Outcome(500), 1, Health(Lane.FAILING, NOW - DISABLE_AFTER), NOW, 0.5).disable == "failing"
    gone = judge(Outcome(410), 1, Health(Lane.PROVEN), NOW, 0.5)
    assert gone.disable == "gone"
    disabled = endpoint().judged(gone)
    assert (disabled.status, disabled.disabled_reason) == (EndpointStatus.DISABLED, "gone")
    assert disabled.disabled("asked").disabled_reason == "gone"
    again = disabled.enabled()
    assert (again.status, again.disabled_reason, again.health) == (EndpointStatus.ENABLED, None, Health())
    assert again.enabled() is again


def test_labels_are_merged_and_an_empty_one_goes_away() -> None:
    labeled = endpoint().labeled({"a": "1", "b": "2"}).labeled({"a": "", "c": "3"})
    assert labeled.metadata == {"b": "2", "c": "3"}
    assert labeled.described("x").described("").description is None
    with pytest.raises(Refused):
        labeled.labeled({str(number): "x" for number in range(50)})


def test_events_are_asked_for_by_their_names_each_once() -> None:
    assert check_events(["payout.paid", "*", "payout.paid"]) == ("payout.paid", "*")
    for asked in (["payout.lost"], []):
        with pytest.raises(Refused):
            check_events(asked)


def test_a_secret_has_thirty_two_bytes() -> None:
    with pytest.raises(AssertionError):
        webhooks.secret_from(b"short")
