"""Proves receipts to outsiders: stock verifiers of RFC 6962, RFC 8785 and C2SP notes accept them, and nothing changed.

sigstore verifies inclusion and the signed checkpoint, pymerkle rebuilds the tree, rfc8785 the leaf's canonical form.
"""

import base64
import json
from types import SimpleNamespace
from typing import Any

import pytest
import rfc8785
from pymerkle import InmemoryTree
from services.wallet.tests.conftest import Service
from sigstore._internal.merkle import verify_merkle_inclusion
from sigstore._internal.rekor.checkpoint import verify_checkpoint
from sigstore.errors import VerificationError
from sqlalchemy import text

from ledgerlink_contracts.wallet.receipts import (
    CheckpointKeyView,
    CheckpointPage,
    CheckpointView,
    ConsistencyView,
    ReceiptView,
    Unproven,
    verify_consistency,
    verify_receipt,
)
from ledgerlink_kit.clock import SystemClock
from ledgerlink_kit.merkle import leaf_hash
from ledgerlink_kit.notes import VerifierKey
from ledgerlink_wallet.commands.sealing import seal
from ledgerlink_wallet.domain.leaves import PromiseRow, promise_leaf
from ledgerlink_wallet.runtime import Runtime, WalletSettings


async def post(service: Service, key: str, **more: Any) -> str:
    posting = {"debit": "world", "credit": "merchant:m", "amount_minor": 1, "currency": "GBP"}
    answer = await service.call("POST", "/transfers", {"kind": "t", "postings": [posting], **more}, Idempotency_Key=key)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def seal_all(service: Service) -> None:
    runtime: Runtime = service.app.state.runtime
    await seal(service.db, runtime.settings.signer(), SystemClock())


async def receipt_of(service: Service, transfer: str) -> ReceiptView:
    answer = await service.call("GET", f"/transfers/{transfer}/receipt")
    assert answer.status_code == 200, answer.text
    return ReceiptView.model_validate_json(answer.content)


async def promised(service: Service) -> list[bytes]:
    """Give the leaves of all promises, in the order in which they were sealed."""
    async with service.db.reading() as view:
        found = await view.execute(
            text(
                "SELECT p.id, kind, subject, step, says::text, recorded_at FROM promises p "
                "JOIN leaves l ON l.promise_id = p.id ORDER BY leaf_index"
            )
        )
        return [promise_leaf(PromiseRow(*row)) for row in found]


async def key_of(service: Service) -> VerifierKey:
    answer = await service.client.get("/checkpoints/key")
    return VerifierKey.parse(CheckpointKeyView.model_validate_json(answer.content).key)


class Believing:
    """What sigstore calls a keyring: verifies with the one key of a ledger."""

    def __init__(self, key: VerifierKey) -> None:
        self._key = key

    def verify(self, *, key_id: bytes, signature: bytes, data: bytes) -> None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415 - as sigstore has it

        assert key_id == self._key.hash
        Ed25519PublicKey.from_public_bytes(self._key.public).verify(signature, data)


def sigstores_entry(receipt: ReceiptView, key: VerifierKey, leaf: bytes) -> Any:
    """A receipt in the shape in which sigstore verifies entries of a transparency log."""
    root = base64.b64decode(receipt.checkpoint.split("\n")[2])
    proof = SimpleNamespace(
        log_index=receipt.leaf_index,
        tree_size=receipt.tree_size,
        hashes=[base64.b64decode(one) for one in receipt.proof],
        root_hash=root,
        checkpoint=SimpleNamespace(envelope=receipt.checkpoint),
    )
    return SimpleNamespace(
        _inner=SimpleNamespace(inclusion_proof=proof, canonicalized_body=leaf, log_id=SimpleNamespace(key_id=key.hash))
    )


async def test_a_stock_verifier_accepts_every_receipt_and_no_changed_one(service: Service) -> None:
    made = [
        await post(service, "0", metadata={"b": "ü\n\u2028\x1f", "a": "\U0001f600", "\ufb33": "", "\U0001f600": "x"})
    ]
    for number in range(1, 13):
        made.append(await post(service, f"{number}", reference=f"R-{number}"))
        if number % 4 == 0:
            await seal_all(service)
    key = await key_of(service)
    for transfer in made:
        receipt = await receipt_of(service, transfer)
        entry = sigstores_entry(receipt, key, receipt.leaf.encode())
        verify_merkle_inclusion(entry)
        verify_checkpoint(Believing(key), entry)  # pyright: ignore[reportArgumentType] - quacks as one
        verify_receipt(receipt, key)
        assert rfc8785.dumps(json.loads(receipt.leaf)) == receipt.leaf.encode()
        changed = receipt.leaf.replace('"amount_minor":1,', '"amount_minor":2,').encode()
        with pytest.raises(VerificationError):
            verify_merkle_inclusion(sigstores_entry(receipt, key, changed))


async def test_an_outsider_who_rebuilds_the_log_with_a_stock_tree_meets_every_checkpoint(service: Service) -> None:
    made = [await post(service, f"{number}") for number in range(3)]
    await seal_all(service)
    for number in range(3, 9):
        made.append(await post(service, f"{number}"))
        await seal_all(service)
    found = CheckpointPage.model_validate_json((await service.call("GET", "/checkpoints")).content)
    receipts = [await receipt_of(service, transfer) for transfer in made]
    theirs: Any = InmemoryTree(algorithm="sha256")
    # What the first transfer's two accounts are held to was sealed before it.
    for leaf in await promised(service):
        theirs.append_entry(leaf)
    for receipt in sorted(receipts, key=lambda one: one.leaf_index):
        theirs.append_entry(receipt.leaf.encode())
    key = await key_of(service)

    assert [one.size for one in found.items] == [11, 10, 9, 8, 7, 6, 5]
    for one in found.items:
        assert theirs.get_root(one.size) == base64.b64decode(one.root)
        for older in found.items:
            if older.size <= one.size:
                path = f"/checkpoints/consistency?from={older.size}&to={one.size}"
                proof = ConsistencyView.model_validate_json((await service.call("GET", path)).content)
                assert [head.size for head in verify_consistency(proof, key)] == [older.size, one.size]
    proof = ConsistencyView.model_validate_json(
        (await service.call("GET", "/checkpoints/consistency?from=5&to=11")).content
    )
    with pytest.raises(Unproven, match="history was changed"):
        verify_consistency(proof.model_copy(update={"proof": proof.proof[::-1]}), key)


async def test_a_receipt_stays_the_same_and_says_what_was_posted(service: Service) -> None:
    transfer = await post(service, "k", metadata={"row": "7"}, reference="R", effective_at="2026-01-01T00:00:00+01:00")
    await seal_all(service)
    first = await receipt_of(service, transfer)
    await post(service, "later")
    await seal_all(service)
    leaf = json.loads(first.leaf)

    assert await receipt_of(service, transfer) == first
    assert (leaf["id"], leaf["reference"], leaf["metadata"]) == (transfer, "R", {"row": "7"})
    assert leaf["effective_at"] == "2025-12-31T23:00:00.000000Z"
    assert leaf["postings"][0]["amount_minor"] == 1


async def test_a_transfer_that_is_not_sealed_yet_says_so_and_when_to_ask_again(service: Service) -> None:
    transfer = await post(service, "k")
    answer = await service.call("GET", f"/transfers/{transfer}/receipt")

    assert (answer.status_code, answer.json()["code"]) == (409, "transfer-not-sealed")
    assert int(answer.headers["Retry-After"]) >= 1


async def test_owners_get_receipts_of_their_own_transfers_alone(service: Service, alice: str, bob: str) -> None:
    wallet = await service.wallet(alice, funds=100)
    page = (await service.call_as(alice, "GET", f"/transfers?account={wallet}&currency=GBP")).json()["items"]
    await seal_all(service)
    path = f"/transfers/{page[0]['id']}/receipt"

    assert (await service.call_as(alice, "GET", path)).status_code == 200
    assert (await service.call_as(bob, "GET", path)).json()["code"] == "transfer-not-found"
    assert (await service.client.get(path)).status_code == 401
    assert (await service.client.get("/checkpoints")).status_code == 401


async def test_checkpoints_are_listed_in_pages_and_given_by_size(service: Service) -> None:
    for number in range(3):
        await post(service, f"{number}")
        await seal_all(service)
    first = CheckpointPage.model_validate_json((await service.call("GET", "/checkpoints?limit=2")).content)
    rest = await service.call("GET", f"/checkpoints?limit=2&cursor={first.next_cursor}")
    one = CheckpointView.model_validate_json((await service.call("GET", "/checkpoints/4")).content)

    assert [item.size for item in first.items] == [5, 4]
    assert [item["size"] for item in rest.json()["items"]] == [3]
    assert rest.json()["next_cursor"] is None
    assert one == first.items[1]


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/checkpoints/77", 404, "checkpoint-not-found"),
        ("/checkpoints/0", 422, "invalid-request"),
        ("/checkpoints/x", 422, "invalid-request"),
        ("/checkpoints/9007199254740992", 422, "invalid-request"),
        ("/checkpoints?cursor=x", 400, "invalid-cursor"),
        ("/checkpoints/consistency", 422, "invalid-request"),
        ("/checkpoints/consistency?from=1&to=9", 404, "checkpoint-not-found"),
        ("/checkpoints/consistency?from=9&to=1", 422, "checkpoints-reversed"),
        ("/transfers/tr_00000000000000000000000000/receipt", 404, "transfer-not-found"),
        ("/transfers/x/receipt", 422, "invalid-request"),
    ],
)
async def test_bad_questions_are_refused(service: Service, path: str, status: int, code: str) -> None:
    await post(service, "k")
    await seal_all(service)
    answer = await service.call("GET", path)

    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_what_was_changed_in_a_receipt_is_named(service: Service) -> None:
    transfers = [await post(service, f"{number}") for number in range(3)]
    await seal_all(service)
    key = await key_of(service)
    good = await receipt_of(service, transfers[1])
    other = await receipt_of(service, transfers[2])
    zero = base64.b64encode(bytes(32)).decode()

    for change, words in (
        ({"leaf": good.leaf.replace(":1,", ":2,", 1)}, "was changed"),
        ({"leaf": other.leaf}, "not that of"),
        ({"leaf": "[]"}, "no JSON object"),
        ({"leaf": "{"}, "no JSON object"),
        ({"leaf_index": 0}, "was changed"),
        ({"tree_size": 2}, "speaks of 2 leaves"),
        ({"proof": [zero, *good.proof[1:]]}, "was changed"),
        ({"proof": ["?" * 44]}, "no SHA-256"),
        ({"checkpoint": good.checkpoint.replace("\n5\n", "\n6\n")}, "does not hold"),
    ):
        with pytest.raises(Unproven, match=words):
            verify_receipt(good.model_copy(update=change), key)
    assert leaf_hash(good.leaf.encode()) != leaf_hash(other.leaf.encode())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("checkpoint_key", ""),
        ("checkpoint_key", "not base64"),
        ("checkpoint_key", base64.b64encode(bytes(31)).decode()),
        ("checkpoint_origin", "two words"),
        ("checkpoint_origin", "a+b"),
        ("checkpoint_origin", ""),
        ("seal_every_s", 0),
    ],
)
def test_a_key_or_name_that_could_not_sign_stops_the_start(name: str, value: object) -> None:
    key = base64.b64encode(bytes(32)).decode()
    chosen = {"environment": "test", "database_url": "postgresql://x/y", "checkpoint_key": key, name: value}
    with pytest.raises(ValueError, match=name):
        WalletSettings.model_validate(chosen)
