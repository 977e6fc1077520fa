"""Which operators and functions exist for which types: data, read by the checker.

Each row: the arguments' types, the result's type, the operation, and its steps for the static cost bound. Money's rows
carry no currency; the checker compares what it knows of the two sides.
"""

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from ledgerlink_risk.domain.language import operations as op
from ledgerlink_risk.domain.language.types import (
    BOOL,
    DOUBLE,
    DURATION,
    INT,
    MONEY,
    ORDERED,
    STRING,
    TIMESTAMP,
    Type,
)

_TEXT_COST: Final = 5
"""Steps of a scan over a text: texts have at most a few hundred characters."""


@dataclass(frozen=True, slots=True)
class Overload:
    """One typed form of an operator or function."""

    arguments: tuple[Type, ...]
    result: Type
    run: Callable[..., Any]
    cost: int = 1


def _orderings(compare: Callable[[Any, Any], bool]) -> tuple[Overload, ...]:
    rows = [Overload((kind, kind), BOOL, compare) for kind in ORDERED]
    return (*rows, Overload((MONEY, MONEY), BOOL, op.compare_money(compare)))


OPERATORS: Final[Mapping[str, tuple[Overload, ...]]] = {
    "<": _orderings(operator.lt),
    "<=": _orderings(operator.le),
    ">": _orderings(operator.gt),
    ">=": _orderings(operator.ge),
    "==": _orderings(operator.eq),
    "!=": _orderings(operator.ne),
    "+": (
        Overload((INT, INT), INT, op.add_int),
        Overload((DOUBLE, DOUBLE), DOUBLE, operator.add),
        Overload((STRING, STRING), STRING, operator.add, _TEXT_COST),
        Overload((TIMESTAMP, DURATION), TIMESTAMP, op.later),
        Overload((DURATION, TIMESTAMP), TIMESTAMP, op.sooner),
        Overload((DURATION, DURATION), DURATION, op.add_duration),
        Overload((MONEY, MONEY), MONEY, op.add_money),
    ),
    "-": (
        Overload((INT, INT), INT, op.subtract_int),
        Overload((DOUBLE, DOUBLE), DOUBLE, operator.sub),
        Overload((TIMESTAMP, TIMESTAMP), DURATION, op.between),
        Overload((TIMESTAMP, DURATION), TIMESTAMP, op.earlier),
        Overload((DURATION, DURATION), DURATION, op.subtract_duration),
        Overload((MONEY, MONEY), MONEY, op.subtract_money),
        Overload((INT,), INT, op.negate_int),
        Overload((DOUBLE,), DOUBLE, operator.neg),
        Overload((MONEY,), MONEY, op.negate_money),
    ),
    "*": (
        Overload((INT, INT), INT, op.multiply_int),
        Overload((DOUBLE, DOUBLE), DOUBLE, operator.mul),
        Overload((MONEY, INT), MONEY, op.multiply_money),
        Overload((INT, MONEY), MONEY, op.times_money),
    ),
    "/": (
        Overload((INT, INT), INT, op.divide_int),
        Overload((DOUBLE, DOUBLE), DOUBLE, op.divide_double),
    ),
    "%": (Overload((INT, INT), INT, op.modulo_int),),
}

FUNCTIONS: Final[Mapping[str, tuple[Overload, ...]]] = {
    "size": (Overload((STRING,), INT, len),),
    "timestamp": (Overload((STRING,), TIMESTAMP, op.timestamp_of_string, _TEXT_COST),),
    "duration": (Overload((STRING,), DURATION, op.duration_of_string, _TEXT_COST),),
    "int": (
        Overload((DOUBLE,), INT, op.int_of_double),
        Overload((STRING,), INT, op.int_of_string),
        Overload((TIMESTAMP,), INT, op.epoch_seconds),
        Overload((INT,), INT, int),
    ),
    "double": (Overload((INT,), DOUBLE, float), Overload((DOUBLE,), DOUBLE, float)),
    "string": (Overload((INT,), STRING, str), Overload((STRING,), STRING, str)),
}


def _attribute(name: str) -> Callable[[datetime], int]:
    return operator.attrgetter(name)


METHODS: Final[Mapping[str, tuple[Overload, ...]]] = {
    "size": FUNCTIONS["size"],
    "contains": (Overload((STRING, STRING), BOOL, operator.contains, _TEXT_COST),),
    "startsWith": (Overload((STRING, STRING), BOOL, str.startswith, _TEXT_COST),),
    "endsWith": (Overload((STRING, STRING), BOOL, str.endswith, _TEXT_COST),),
    "lowerAscii": (Overload((STRING,), STRING, op.lower_ascii, _TEXT_COST),),
    "upperAscii": (Overload((STRING,), STRING, op.upper_ascii, _TEXT_COST),),
    "getFullYear": (Overload((TIMESTAMP,), INT, _attribute("year")),),
    "getMonth": (Overload((TIMESTAMP,), INT, op.month_from_zero),),
    "getDate": (Overload((TIMESTAMP,), INT, _attribute("day")),),
    "getDayOfMonth": (Overload((TIMESTAMP,), INT, op.day_from_zero),),
    "getDayOfWeek": (Overload((TIMESTAMP,), INT, op.day_of_week),),
    "getDayOfYear": (Overload((TIMESTAMP,), INT, op.day_of_year),),
    "getHours": (Overload((TIMESTAMP,), INT, _attribute("hour")), Overload((DURATION,), INT, op.total(3600))),
    "getMinutes": (Overload((TIMESTAMP,), INT, _attribute("minute")), Overload((DURATION,), INT, op.total(60))),
    "getSeconds": (Overload((TIMESTAMP,), INT, _attribute("second")), Overload((DURATION,), INT, op.total(1))),
    "getMilliseconds": (
        Overload((TIMESTAMP,), INT, op.milliseconds_of),
        Overload((DURATION,), INT, op.milliseconds_part),
    ),
}
