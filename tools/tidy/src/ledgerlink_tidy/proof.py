"""Rules about tests: each file says what it proves, each name is a sentence, each test can fail."""

import ast
import re
from collections.abc import Iterator

from ledgerlink_tidy.source import Source, dotted

WORDS_MIN = 4
PROVING = re.compile(
    r"(^|\.)_?(assert|expect|must|check)_\w+$"
    r"|(^|\.)(raises|warns|fail|call_and_validate|validate_response|run_state_machine_as_test)$"
)


def silent_test_file(source: Source) -> Iterator[tuple[int, str]]:
    """A test file opens with a docstring that says what it proves."""
    if source.is_test_module and not ast.get_docstring(source.tree):
        yield 1, "open the file with a docstring that says what it proves"


def terse_test_name(source: Source) -> Iterator[tuple[int, str]]:
    """A test's name is a sentence: at least four words after ``test_``."""
    for node in _tests(source):
        if len([word for word in node.name.split("_")[1:] if word]) < WORDS_MIN:
            yield node.lineno, f"{node.name} is no sentence: say what happens, and when"


def test_without_assert(source: Source) -> Iterator[tuple[int, str]]:
    """A test holds an assert, a pytest.raises, a call to an assert_ function, or to one of its file that asserts."""
    proving = (
        {node.name for node in source.functions() if _proves(node, frozenset())}
        if source.is_test_module
        else set[str]()
    )
    for node in _tests(source):
        if not _proves(node, frozenset(proving)):
            yield node.lineno, f"{node.name} asserts nothing, so it cannot fail: assert what it shows"


def patched_code(source: Source) -> Iterator[tuple[int, str]]:
    """Tests pass fakes as arguments; they patch no attribute."""
    if not source.is_test:
        return
    for line, name in source.imports():
        if name.startswith(("unittest.mock", "mock.")):
            yield line, "mock patches code behind its back: pass a fake as an argument"
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and dotted(node.func) in {
            "monkeypatch.setattr",
            "monkeypatch.setitem",
            "mocker.patch",
        }:
            yield node.lineno, "this patches code behind its back: pass a fake as an argument"


def _tests(source: Source) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """The test functions of a test module; none for any other file."""
    if source.is_test_module:
        yield from (node for node in source.functions() if node.name.startswith("test_"))


def _proves(function: ast.AST, proving: frozenset[str]) -> bool:
    """Whether something inside can fail on purpose."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assert | ast.Raise):
            return True
        if isinstance(node, ast.Call):
            name = dotted(node.func)
            tail = node.func.attr if isinstance(node.func, ast.Attribute) else name
            if PROVING.search(name) or PROVING.search(tail) or tail in proving:
                return True
    return False
