"""The types of the language and how they meet.

`money` may know its currency while the rule is compiled (`money("1.00", "GBP")`) or only when it runs (`amount`);
two known and different currencies never meet in one comparison or sum.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Type:
    """A type by its name; `item` is what a list or map (by text keys) holds, `currency` what is known of a money."""

    name: str
    item: "Type | None" = None
    currency: str | None = None

    def __str__(self) -> str:
        if self.item is not None:
            return f"{self.name}<{self.item}>"
        return f"{self.name}[{self.currency}]" if self.currency else self.name


BOOL: Final = Type("bool")
INT: Final = Type("int")
DOUBLE: Final = Type("double")
STRING: Final = Type("string")
TIMESTAMP: Final = Type("timestamp")
DURATION: Final = Type("duration")
MONEY: Final = Type("money")
NOTHING: Final = Type("nothing")
"""The item of an empty literal: fits every other type."""

SCALARS: Final = frozenset({"bool", "int", "double", "string", "timestamp", "duration"})
"""Types whose lists can be searched and compared."""

ORDERED: Final = (BOOL, INT, DOUBLE, STRING, TIMESTAMP, DURATION)


def list_of(item: Type) -> Type:
    """Give the type of a list."""
    return Type("list", item)


def map_of(item: Type) -> Type:
    """Give the type of a map from text to `item`."""
    return Type("map", item)


def money_in(currency: str) -> Type:
    """Give the type of a money whose currency the compiler knows."""
    return Type("money", currency=currency)


def meet(left: Type, right: Type) -> Type | None:
    """Give the one type that both fit, or nothing. Two currencies meet as money of a currency not yet known."""
    if right in {left, NOTHING}:
        return left
    if left == NOTHING:
        return right
    if left.name == right.name == "money":
        return MONEY
    if left.name == right.name and left.item is not None and right.item is not None:
        item = meet(left.item, right.item)
        return None if item is None else Type(left.name, item)
    return None
