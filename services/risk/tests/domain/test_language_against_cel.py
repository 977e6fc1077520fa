"""The language agrees with CEL's own implementation: whatever the shared grammar can say, both say the same of it.

Hypothesis writes expressions of every type over a few variables. The oracle (Google's C++ CEL) and our closures must
give equal values, and where the oracle gives an error ours must be missing; a traced condition must have the truth of
the untraced one. Expressions that the profile refuses are refused by the oracle too.
"""

import math
import os
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from cel_expr_python import cel
from cel_expr_python.ext import ext_strings
from hypothesis import given, settings
from hypothesis import strategies as st

from ledgerlink_risk.domain.language import (
    FactDeclaration,
    Frame,
    RuleDoesNotCompile,
    Vocabulary,
    compile_condition,
    compile_value,
)
from ledgerlink_risk.domain.language.types import BOOL, DOUBLE, DURATION, INT, STRING, TIMESTAMP, map_of
from ledgerlink_risk.domain.language.values import Missing

FACTS = Vocabulary(
    {
        "i": FactDeclaration(INT),
        "j": FactDeclaration(INT),
        "s": FactDeclaration(STRING),
        "t": FactDeclaration(STRING),
        "b": FactDeclaration(BOOL),
        "d": FactDeclaration(DOUBLE),
        "at": FactDeclaration(TIMESTAMP),
        "span": FactDeclaration(DURATION),
        "m": FactDeclaration(map_of(STRING), items_max=5),
    }
)
ORACLE = cel.NewEnv(
    variables={
        "i": cel.Type.INT,
        "j": cel.Type.INT,
        "s": cel.Type.STRING,
        "t": cel.Type.STRING,
        "b": cel.Type.BOOL,
        "d": cel.Type.DOUBLE,
        "at": cel.Type.TIMESTAMP,
        "span": cel.Type.DURATION,
        "m": cel.Type.Map(cel.Type.STRING, cel.Type.STRING),
    },
    extensions=[ext_strings.ExtStrings()],
)

# More by hand: RISK_LANGUAGE_EXAMPLES=20000 takes a few minutes.
EXAMPLES = int(os.environ.get("RISK_LANGUAGE_EXAMPLES", "300"))
BIG = 2**63 - 1
TEXTS = st.text(alphabet="aAbZ9é☃𝄞 -'\"\\\n", max_size=6)
INTS = st.one_of(st.integers(-9, 9), st.sampled_from([BIG, -BIG - 1, BIG - 1, 2**62, -(2**31)]))
DOUBLES = st.one_of(st.sampled_from([0.0, -0.0, 1.5, -2.25, 1e300, 1e-5, 12345.0]), st.integers(-50, 50).map(float))
MOMENTS = st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2100, 1, 1)).map(  # noqa: DTZ001
    lambda moment: moment.replace(tzinfo=UTC)
)
SPANS = st.timedeltas(min_value=timedelta(days=-400), max_value=timedelta(days=400))


def quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    return f"'{escaped}'"


def call(pattern: str, *parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(*parts).map(lambda given: pattern.format(*given))


def binary(left: st.SearchStrategy[str], signs: list[str], right: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return call("({} {} {})", left, st.sampled_from(signs), right)


def duration_text(span: timedelta) -> str:
    micros = span // timedelta(microseconds=1)
    return f"{'-' if micros < 0 else ''}{abs(micros)}us"


def grammar() -> dict[str, st.SearchStrategy[str]]:
    """Strategies for expressions of each type, mutually recursive through `deferred`."""
    kinds: dict[str, st.SearchStrategy[str]] = {}
    ints, doubles, texts, bools, moments, spans, lists = (
        st.deferred(lambda kind=kind: kinds[kind])
        for kind in ("int", "double", "string", "bool", "timestamp", "duration", "list")
    )
    # An empty literal holds nothing that could be indexed or asked, and the profile says so.
    filled = st.lists(ints, min_size=1, max_size=4).map(lambda items: f"[{', '.join(items)}]")
    # Leaves come first: Hypothesis shrinks toward them, and most branches must end.
    kinds["int"] = st.one_of(
        INTS.map(lambda value: str(value) if value >= 0 else f"({value})"),
        st.sampled_from(["i", "j", "(-i)", "s.size()", "size(t)", "size(m)", "int(d)", "int(s)", "at.getHours()"]),
        binary(ints, ["+", "-", "*", "/", "%"], ints),
        call("({} ? {} : {})", bools, ints, ints),
        call("{}[{}]", filled, ints),
        call("size({})", lists),
        call("{}.{}()", moments, st.sampled_from(["getFullYear", "getMonth", "getDate", "getDayOfMonth"])),
        call("{}.{}()", moments, st.sampled_from(["getDayOfWeek", "getDayOfYear", "getMinutes", "getSeconds"])),
        call("{}.{}()", spans, st.sampled_from(["getHours", "getMinutes", "getSeconds"])),
        call("{}.getMilliseconds()", moments),
        call("{}.getMilliseconds()", spans),
        call("int({})", st.one_of(doubles, texts, moments)),
    )
    kinds["double"] = st.one_of(
        DOUBLES.map(lambda value: f"({value!r})"),
        st.just("d"),
        binary(doubles, ["+", "-", "*", "/"], doubles),
        call("double({})", ints),
    )
    kinds["string"] = st.one_of(
        TEXTS.map(quoted),
        st.sampled_from(["s", "t", "m.k", "m['k']", "m.absent"]),
        binary(texts, ["+"], texts),
        call("m[{}]", texts),
        call("({}).{}()", texts, st.sampled_from(["lowerAscii", "upperAscii"])),
        call("string({})", ints),
    )
    kinds["timestamp"] = st.one_of(
        MOMENTS.map(lambda moment: f"timestamp('{moment.isoformat().replace('+00:00', 'Z')}')"),
        st.just("at"),
        binary(moments, ["+", "-"], spans),
    )
    kinds["duration"] = st.one_of(
        SPANS.map(lambda span: f"duration('{duration_text(span)}')"),
        st.sampled_from(["span", "duration('1h30m')", "duration('-1.5s')"]),
        binary(spans, ["+", "-"], spans),
        binary(moments, ["-"], moments),
    )
    kinds["list"] = st.lists(ints, max_size=4).map(lambda items: f"[{', '.join(items)}]")
    compared = ["<", "<=", ">", ">=", "==", "!="]
    kinds["bool"] = st.one_of(
        st.sampled_from(["true", "false", "b", "has(m.k)", "has(m.absent)"]),
        *(binary(kind, compared, kind) for kind in (ints, doubles, texts, bools, moments, spans)),
        binary(bools, ["&&", "||"], bools),
        call("!{}", bools.map(lambda text: f"({text})")),
        call("({} ? {} : {})", bools, bools, bools),
        binary(ints, ["in"], lists),
        binary(texts, ["in"], st.sampled_from(["m", "['a', s]", "{'a': 1, 'k': 2}"])),
        binary(lists, ["==", "!="], lists),
        call("{}.{}({})", texts, st.sampled_from(["contains", "startsWith", "endsWith"]), texts),
        call("({}).matches({})", texts, st.sampled_from(["'^a+'", "'[A-Z]b?'", "'9$'", "''"])),
        call("{}.exists(v, v {} {})", filled, st.sampled_from(compared), ints),
        call("{}.all(v, (v / 2) {} {})", filled, st.sampled_from(compared), ints),
        st.sampled_from(["m.exists(k, k == s)", "m.all(k, m[k] != t)"]),
    )
    return kinds


KINDS = grammar()


@st.composite
def bindings(draw: st.DrawFn) -> dict[str, Any]:
    return {
        "i": draw(INTS),
        "j": draw(INTS),
        "s": draw(TEXTS),
        "t": draw(TEXTS),
        "b": draw(st.booleans()),
        "d": draw(DOUBLES),
        "at": draw(MOMENTS),
        "span": draw(SPANS),
        "m": draw(st.dictionaries(st.sampled_from(["k", "a", "é"]), TEXTS, max_size=3)),
    }


def plain(value: Any) -> Any:
    return [plain(item) for item in cast("list[Any]", value)] if isinstance(value, tuple | list) else value


def same(ours: Any, oracle: Any) -> bool:
    if isinstance(ours, float) and isinstance(oracle, float):
        return ours == oracle or (math.isnan(ours) and math.isnan(oracle))
    return type(ours) is type(oracle) and ours == oracle


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.sampled_from(sorted(KINDS)).flatmap(lambda kind: KINDS[kind]), bindings())
def test_every_expression_has_the_value_that_cel_gives_it(source: str, given_facts: dict[str, Any]) -> None:
    try:
        closure = compile_value(source, FACTS)
    except RuleDoesNotCompile as refusal:
        # Hypothesis may nest deeper, or loop longer, than the profile allows; that is all it may refuse.
        assert any(word in refusal.detail for word in ("Nested deeper", "steps", "characters", "in a row")), source  # noqa: PT017
        return
    ours = closure(Frame(given_facts, {}))
    try:
        answered = ORACLE.compile(source).eval(data=given_facts)
    except RuntimeError as refusal:
        assert "recursion depth" in str(refusal), source  # noqa: PT017 - the oracle's own bound on nesting
        return
    if answered.type() in (cel.Type.ERROR, cel.Type.UNKNOWN):  # types do not hash
        assert isinstance(ours, Missing), f"{source}: the oracle refuses ({answered.value()}), we say {ours!r}"
    else:
        assert same(plain(ours), plain(answered.plain_value())), f"{source}: {ours!r} is not {answered.plain_value()!r}"


@settings(max_examples=EXAMPLES // 3, deadline=None)
@given(KINDS["bool"], bindings())
def test_a_condition_with_reasons_has_the_truth_of_the_one_without(source: str, given_facts: dict[str, Any]) -> None:
    try:
        condition = compile_condition(source, FACTS)
    except RuleDoesNotCompile:
        return
    outcome = condition.judge(given_facts, {})
    plainly = compile_value(source, FACTS)(Frame(given_facts, {}))
    assert outcome.truth == plainly
    assert outcome.clauses, "every outcome names the clauses that suffice for it"


@pytest.mark.parametrize(
    "source",
    [
        "1 + 'a'",
        "1 < 1.0",
        "i == 'a'",
        "b ? 1 : 'a'",
        "s.contains(1)",
        "unknown > 1",
        "nothing(1)",
        "s.nothing()",
        "1 &&  true",
        "!1",
        "-s",
        "[1, 2][true]",
        "m[1]",
        "at + at",
        "span * 2",
        "9223372036854775808",
        "1 +",
        "(1",
        "[1, 2",
        "'abc",
        "i j",
        "if",
        "s.size(1)",
        "true in 1",
        "b < 1",
        "size(1)",
        "5.exists(v, v > 1)",
    ],
)
def test_what_we_refuse_to_compile_cel_refuses_too(source: str) -> None:
    with pytest.raises(RuleDoesNotCompile):
        compile_value(source, FACTS)
    with pytest.raises(Exception, match="ERROR"):
        ORACLE.compile(source)
