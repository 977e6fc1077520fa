"""Proves that a page's blocks are run in order in one shell, and that an output unlike the shown one is a fault."""

import os
from pathlib import Path

import pytest
from documents.blocks import Broken, alike, completed, execute, steps, values
from documents.markdown import read

ID = "wal_01m82gr0cmeyq91eps31n8p99z"
OTHER = "wal_740wkwk6fdhjc9hfmgz882mxgz"


def run(text: str, folder: Path, **replace: str) -> int:
    return execute(steps(read(text)), folder, os.environ, replace, seconds=20)


def page(command: str, language: str = "", shown: str = "") -> str:
    return f"```bash\n{command}\n```\nIt prints:\n```{language}\n{shown}\n```\n"


def test_blocks_share_a_shell_and_others_are_not_run(tmp_path: Path) -> None:
    text = "```bash\nX=4\n```\n```sh\nexit 1\n```\n" + page('echo "$X here"', "text", "4 here")
    assert run(text, tmp_path) == 1


def test_addresses_are_put_in(tmp_path: Path) -> None:
    assert run(page("echo localhost:8080", "text", "there:1"), tmp_path, **{"localhost:8080": "there:1"}) == 1


@pytest.mark.parametrize(
    ("printed", "language", "shown"),
    [
        (f'{{"id":"{OTHER}","n":1}}', "json", f'{{"n": 1, "id": "{ID}"}}'),
        ('{"a":1,"b":{"c":[1,2,3],"d":4}}', "json", '{"a":1,"b":{"c":[1,…],…}}'),
        ('{"a":1}{"b":2}', "json", '{"a":1}\n{"b":2,…}'),
        ('{"at":"2026-11-23T05:49:31.197127Z"}', "json", '{"at":"2025-01-01T00:00:00Z"}'),
        ('{"say":"hello, world"}', "json", '{"say":"hello, …"}'),
        ('{"list":[]}', "json", '{"list":[…]}'),
        (f"{OTHER} stands at 7 of 9.", "text", f"{ID} stands at … of ….".replace(ID, "wal_…")),
        ("one", "csv", "one"),
    ],
)
def test_what_is_shown_may_stand_for_its_like(tmp_path: Path, printed: str, language: str, shown: str) -> None:
    assert run(page(f"cat <<'END'\n{printed}\nEND", language, shown), tmp_path) == 1


def test_lines_may_be_left_out() -> None:
    assert run(page("seq 5", "text", "1\n…\n5"), Path.cwd()) == 1


@pytest.mark.parametrize(
    ("printed", "language", "shown", "said"),
    [
        ('{"a":1}', "json", '{"a":2}', "value 1.a: 2 is shown, 1 was printed"),
        ('{"a":1}', "json", '{"a":true}', "value 1.a: True is shown, 1 was printed"),
        ('{"a":1,"b":2}', "json", '{"a":1}', "value 1: b was printed, but is not shown"),
        ('{"a":1}', "json", '{"a":1,"b":2}', "value 1: b is shown, but was not printed"),
        ('{"a":[1,2]}', "json", '{"a":[1]}', "value 1.a: 1 items are shown, 2 were printed"),
        ('{"a":1}', "json", '{"a":1}{"a":1}', "2 values are shown, 1 were printed"),
        ("oops", "json", '{"a":1}', "is no JSON"),
        (f'{{"id":"tr_{ID[4:]}"}}', "json", f'{{"id":"{ID}"}}', "value 1.id"),
        ("one\ntwo", "text", "one", "shown is"),
        ("one\ntwo\nthree", "text", "one\nthree\n…", "shown is"),
        ("1.50", "csv", "1x50", "shown is"),
    ],
)
def test_an_output_unlike_the_shown_one_is_a_fault(
    tmp_path: Path, printed: str, language: str, shown: str, said: str
) -> None:
    with pytest.raises(Broken) as broken:
        run(page(f"cat <<'END'\n{printed}\nEND", language, shown), tmp_path)
    assert said in str(broken.value)


def test_a_block_that_fails_is_named_with_what_it_said(tmp_path: Path) -> None:
    with pytest.raises(Broken, match=r"the block of line 4 ended with 3: (?s:.)*woe"):
        run("```bash\ntrue\n```\n```bash\necho woe >&2; (exit 3)\n```\n", tmp_path)


def test_what_stands_for_anything_is_told_from_text() -> None:
    assert list(values(completed('{"a":"…",…} [1,…]'))) == [{"a": "…", "…": 0}, [1, "…"]]
    assert alike("a … c", "a b c")
    assert not alike("a.c", "abc")
    assert not alike(ID, "wal_1")
