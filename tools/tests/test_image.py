"""Proves how the image is built with kept layers, and that a version which is in a registry is never pushed again."""

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from image import Answer, ImageTrouble, build, push, run, tell

DIGEST = f"sha256:{'c' * 64}"


ABSENT = Answer(1, errors="manifest unknown\n")


class Docker:
    """docker and git: they note what they were asked and answer by the first pattern that fits."""

    def __init__(self, **answers: Answer) -> None:
        self.answers = {"manifest": ABSENT, **answers}
        self.calls: list[str] = []

    def __call__(self, command: Sequence[str]) -> Answer:
        line = " ".join(command)
        self.calls.append(line)
        for word, answer in self.answers.items():
            if f" {word} " in f"{line} ":
                return answer
        return Answer(0)


PUSHED = Answer(0, f"The push refers to repository [ghcr.io/owner/name]\n1.2.3: digest: {DIGEST} size: 900\n")


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


def test_what_was_pushed_is_known_by_the_registrys_digest() -> None:
    docker = Docker(push=PUSHED)
    assert push(docker, "ghcr.io/Owner/Name", "1.2.3") == DIGEST
    assert docker.calls == [
        "docker manifest inspect ghcr.io/owner/name:1.2.3",
        "docker tag ledgerlink:local ghcr.io/owner/name:1.2.3",
        "docker push ghcr.io/owner/name:1.2.3",
    ]


def test_a_registry_on_this_machine_is_asked_plainly() -> None:
    docker = Docker(push=PUSHED)
    push(docker, "localhost:5000/name", "1.2.3")
    assert docker.calls[0] == "docker manifest inspect --insecure localhost:5000/name:1.2.3"


def test_a_version_that_is_there_is_not_pushed_again() -> None:
    docker = Docker(manifest=Answer(0, "{}"))
    with pytest.raises(ImageTrouble, match="there already"):
        push(docker, "ghcr.io/owner/name", "1.2.3")
    assert not any("push" in call for call in docker.calls)


def test_a_registry_that_does_not_answer_is_not_taken_for_an_empty_one() -> None:
    docker = Docker(manifest=Answer(1, errors="dial tcp: connection refused\n"))
    with pytest.raises(ImageTrouble, match="nothing was pushed"):
        push(docker, "ghcr.io/owner/name", "1.2.3")
    assert not any("push" in call for call in docker.calls)


def test_what_a_program_says_and_complains_of_is_given_back(capfd: pytest.CaptureFixture[str]) -> None:
    answer = run([sys.executable, "-c", "import sys; print('said'); print('complained', file=sys.stderr); sys.exit(3)"])
    assert answer == Answer(3, "said\n", "complained\n")
    assert capfd.readouterr().err == "complained\n"


@pytest.mark.parametrize("name", ["", "name", "ghcr.io/owner/name:latest", "ghcr.io/owner/name; ls"])
def test_a_name_that_is_none_is_refused_before_anything_runs(name: str) -> None:
    docker = Docker()
    with pytest.raises(ImageTrouble, match="no image's name"):
        push(docker, name, "1.2.3")
    assert docker.calls == []


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        ({"tag": Answer(1), "push": PUSHED}, "run `make image` first"),
        ({"push": Answer(1, PUSHED.output)}, "was not pushed"),
        ({"push": Answer(0, "pushed, somehow")}, "under no digest"),
    ],
)
def test_a_push_that_fails_is_told(answers: dict[str, Answer], says: str) -> None:
    with pytest.raises(ImageTrouble, match=says):
        push(Docker(**answers), "ghcr.io/owner/name", "1.2.3")


def test_later_steps_of_a_workflow_are_handed_what_came_out(tmp_path: Path) -> None:
    file = tmp_path / "output"
    file.write_text("before=1\n")
    tell({"name": "n", "digest": DIGEST}, str(file))
    assert file.read_text() == f"before=1\nname=n\ndigest={DIGEST}\n"
