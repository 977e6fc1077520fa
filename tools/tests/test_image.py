"""Proves how the image is built with kept layers, and that a version which is in a registry is never pushed again."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from image import Answer, ImageTrouble, build, push, tell

DIGEST = f"sha256:{'c' * 64}"


class Docker:
    """docker and git: they note what they were asked and answer by the first pattern that fits."""

    def __init__(self, **answers: Answer) -> None:
        self.answers = {"manifest": Answer(1), **answers}
        self.calls: list[str] = []

    def __call__(self, command: Sequence[str]) -> Answer:
        line = " ".join(command)
        self.calls.append(line)
        for word, answer in self.answers.items():
            if f" {word} " in f"{line} ":
                return answer
        return Answer(0)


def pushed(*digests: str) -> Answer:
    """What an engine says about the digests of an image."""
    return Answer(0, "".join(f"{each}\n" for each in digests))


def test_what_was_built_carries_version_and_commit() -> None:
    docker = Docker(**{"rev-parse": Answer(0, "abc\n")})
    build(docker, "1.2.3", None)
    assert (
        docker.calls[-1] == "docker build --build-arg VERSION=1.2.3 --build-arg REVISION=abc --tag ledgerlink:local ."
    )


def test_kept_layers_are_replaced_by_those_of_the_last_build(tmp_path: Path) -> None:
    cache, fresh = tmp_path / "layers", tmp_path / "layers.new"
    for folder, content in ((cache, "old"), (fresh, "new")):  # buildx would write the second
        folder.mkdir()
        (folder / content).touch()
    docker = Docker()
    build(docker, "1.2.3", cache)
    assert f"--cache-from type=local,src={cache} --cache-to type=local,dest={fresh},mode=max" in docker.calls[-1]
    assert [path.name for path in cache.iterdir()] == ["new"]
    assert not fresh.exists()


def test_a_build_that_fails_is_told() -> None:
    with pytest.raises(ImageTrouble, match="could not be built"):
        build(Docker(build=Answer(1)), "1.2.3", None)


def test_what_was_pushed_is_known_by_its_digest() -> None:
    docker = Docker(inspect=pushed("elsewhere.example/n@sha256:0", f"ghcr.io/owner/name@{DIGEST}"), manifest=Answer(1))
    assert push(docker, "ghcr.io/Owner/Name", "1.2.3") == DIGEST
    assert "docker tag ledgerlink:local ghcr.io/owner/name:1.2.3" in docker.calls
    assert "docker push --quiet ghcr.io/owner/name:1.2.3" in docker.calls


def test_a_version_that_is_there_is_not_pushed_again() -> None:
    docker = Docker(manifest=Answer(0, "{}"))
    with pytest.raises(ImageTrouble, match="there already"):
        push(docker, "ghcr.io/owner/name", "1.2.3")
    assert not any("push" in call for call in docker.calls)


@pytest.mark.parametrize("name", ["", "name", "ghcr.io/owner/name:latest", "ghcr.io/owner/name; ls"])
def test_a_name_that_is_none_is_refused_before_anything_runs(name: str) -> None:
    docker = Docker()
    with pytest.raises(ImageTrouble, match="no image's name"):
        push(docker, name, "1.2.3")
    assert docker.calls == []


@pytest.mark.parametrize("word", ["tag", "push"])
def test_a_push_that_fails_is_told(word: str) -> None:
    with pytest.raises(ImageTrouble, match="failed"):
        push(Docker(**{word: Answer(1)}), "ghcr.io/owner/name", "1.2.3")


def test_a_push_without_a_digest_is_told() -> None:
    with pytest.raises(ImageTrouble, match="does not say one digest"):
        push(Docker(inspect=pushed(), manifest=Answer(1)), "ghcr.io/owner/name", "1.2.3")


def test_later_steps_of_a_workflow_are_handed_what_came_out(tmp_path: Path) -> None:
    file = tmp_path / "output"
    file.write_text("before=1\n")
    tell({"name": "n", "digest": DIGEST}, str(file))
    assert file.read_text() == f"before=1\nname=n\ndigest={DIGEST}\n"
