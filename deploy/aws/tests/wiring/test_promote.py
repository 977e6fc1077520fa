"""Proves that only what our release workflow made reaches ECR, byte for byte, once per version."""

import base64
import json
from collections.abc import Sequence
from typing import Any

import pytest

from ledgerlink_aws.promote import PromotionFailed, Release, promote

RELEASE = Release("ghcr.io/Owner/LedgerLink", "1.2.3", "Owner/LedgerLink")
MADE, OTHER = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"


class NotFound(Exception):
    """What boto3 calls ImageNotFoundException."""


class Exceptions:
    """The exceptions that a client of ECR brings."""

    ImageNotFoundException = NotFound


class FakeEcr:
    """ECR as far as a promotion sees it."""

    exceptions = Exceptions

    def __init__(self, images: dict[str, str]) -> None:
        self.images = images

    def describe_images(self, *, repositoryName: str, imageIds: list[dict[str, str]]) -> dict[str, Any]:  # noqa: N803
        assert repositoryName == "ledgerlink/app"
        if imageIds[0]["imageTag"] not in self.images:
            raise NotFound
        return {"imageDetails": [{"imageDigest": self.images[imageIds[0]["imageTag"]]}]}

    def get_authorization_token(self) -> dict[str, Any]:
        token = base64.b64encode(b"AWS:a:secret").decode()
        return {"authorizationData": [{"authorizationToken": token, "proxyEndpoint": "https://ecr.example"}]}


class Programs:
    """docker and gh: they note what they were asked, refuse what they are told to refuse, and copy into the fake."""

    def __init__(self, ecr: FakeEcr, *, refuses: str = "", copies: str = MADE) -> None:
        self.ecr, self.refuses, self.copies = ecr, refuses, copies
        self.calls: list[str] = []
        self.said: list[str] = []

    def __call__(self, command: Sequence[str], said: str) -> tuple[int, str]:
        line = " ".join(command)
        self.calls.append(line)
        self.said.append(said)
        if self.refuses and self.refuses in line:
            return 1, ""
        if "imagetools create" in line:
            self.ecr.images["1.2.3"] = self.copies
        return 0, json.dumps({"digest": MADE}) if "inspect" in line else ""


def silent(_: str) -> None:
    """Nobody listens."""


def test_the_digest_that_was_verified_is_what_is_copied() -> None:
    ecr = FakeEcr({})
    programs = Programs(ecr)
    assert promote(ecr, programs, RELEASE, silent) == MADE
    assert ecr.images == {"1.2.3": MADE}
    _, verified, _, copied = programs.calls
    assert verified == (
        f"gh attestation verify oci://ghcr.io/owner/ledgerlink@{MADE} --repo Owner/LedgerLink "
        "--signer-workflow Owner/LedgerLink/.github/workflows/release.yml"
    )
    assert copied.endswith(f"--tag ecr.example/ledgerlink/app:1.2.3 ghcr.io/owner/ledgerlink@{MADE}")


def test_the_password_of_the_registry_is_no_argument() -> None:
    ecr = FakeEcr({})
    programs = Programs(ecr)
    promote(ecr, programs, RELEASE, silent)
    assert "a:secret" in programs.said
    assert not any("secret" in call for call in programs.calls)


def test_a_release_that_is_there_is_left_alone() -> None:
    ecr = FakeEcr({"1.2.3": MADE})
    programs = Programs(ecr)
    assert promote(ecr, programs, RELEASE, silent) == MADE
    assert not any("create" in call or "login" in call for call in programs.calls)


def test_a_version_does_not_move() -> None:
    ecr = FakeEcr({"1.2.3": OTHER})
    with pytest.raises(PromotionFailed, match="never moves"):
        promote(ecr, Programs(ecr), RELEASE, silent)
    assert ecr.images == {"1.2.3": OTHER}


@pytest.mark.parametrize(
    ("refuses", "says"),
    [
        ("inspect", "there is no image"),
        ("attestation verify", "has no attestation"),
        ("login", "may not log in"),
        ("imagetools create", "could not be copied"),
    ],
)
def test_a_step_that_fails_ends_it_with_nothing_in_ecr(refuses: str, says: str) -> None:
    ecr = FakeEcr({})
    with pytest.raises(PromotionFailed, match=says):
        promote(ecr, Programs(ecr, refuses=refuses), RELEASE, silent)
    assert ecr.images == {}


def test_a_copy_that_is_not_the_original_is_noticed() -> None:
    ecr = FakeEcr({})
    with pytest.raises(PromotionFailed, match="not what was published"):
        promote(ecr, Programs(ecr, copies=OTHER), RELEASE, silent)


def test_a_version_is_no_shell() -> None:
    ecr = FakeEcr({})
    programs = Programs(ecr)
    with pytest.raises(PromotionFailed, match="no version"):
        promote(ecr, programs, Release("ghcr.io/o/n", "1; rm -rf /", "o/n"), silent)
    assert programs.calls == []
