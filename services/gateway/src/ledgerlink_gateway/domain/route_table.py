"""The route table: what a public path means, compiled for lookup by whole path segments.

A table is validated as a whole when it is compiled, so that a wrong row stops the start and never a request.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum, auto
from typing import Final

from ledgerlink_gateway.domain.gcra import Policy

OWN: Final = "gateway"
"""The upstream name of what the gateway answers itself."""

SEGMENTS_MAX: Final = 16
"""Deepest public path that is looked up; a deeper one is unknown."""


class Access(StrEnum):
    """Who may pass: anyone, or a caller with a valid token. What the caller may do is the service's own question."""

    PUBLIC = auto()
    CALLER = auto()


class Dialect(StrEnum):
    """Shape of the gateway's own refusals on a route: plain problem+json, or one that also holds Stripe's `error`."""

    PROBLEM = auto()
    STRIPE = auto()


class RouteTableInvalid(ValueError):
    """The table holds a row that cannot work; the message names all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One row: a public prefix, where it goes, who may pass, and its limits.

    ``prefix`` matches whole segments (``/v1`` matches ``/v1`` and ``/v1/x``, not ``/v10``) unless ``exact``.
    ``target`` replaces the prefix in the upstream's path. ``policies`` name rate limits, ``cost`` and ``write_cost``
    what a safe and an unsafe request are charged. ``timeout_s`` bounds the wait for the head of the answer and for each
    further piece of it. ``body_bytes_max`` bounds the request body. ``guards_cards`` refuses card data in it.
    ``upload_s_max`` bounds how long a request whose body streams may take in all.
    """

    name: str
    prefix: str
    upstream: str
    target: str = ""
    access: Access = Access.CALLER
    exact: bool = False
    policies: tuple[str, ...] = ("address",)
    cost: int = 1
    write_cost: int = 1
    timeout_s: float = 15.0
    body_bytes_max: int = 1024 * 1024
    upload_s_max: float = 300.0
    guards_cards: bool = False
    dialect: Dialect = Dialect.PROBLEM


@dataclass(frozen=True, slots=True)
class RouteTable:
    """A validated table; `match` finds the row of a path, longest prefix first."""

    routes: tuple[Route, ...]
    policies: Mapping[str, Policy]
    _by_prefix: Mapping[str, Route] = field(repr=False)

    def match(self, path: str) -> Route | None:
        """Find the row whose prefix is the longest run of whole segments of ``path``; None if there is none."""
        routes = self._by_prefix
        route = routes.get(path)
        if route is not None:
            return route
        cut = len(path)
        for _ in range(SEGMENTS_MAX):
            cut = path.rfind("/", 0, cut)
            if cut < 0:
                return None
            route = routes.get(path[:cut])
            if route is not None and not route.exact:
                return route
        return None

    def of_upstream(self, upstream: str) -> tuple[Route, ...]:
        """Give the rows that lead to one upstream."""
        return tuple(route for route in self.routes if route.upstream == upstream)


def upstream_path(route: Route, path: str) -> str:
    """Give the upstream's path of a public path that matched ``route``: the prefix replaced by the target."""
    return route.target + path[len(route.prefix) :]


def public_path(routes: Iterable[Route], path: str) -> str | None:
    """Give the public path under which an upstream's ``path`` is reached; None if no row leads there.

    The row with the longest target wins, as does the longest prefix on the way in, and what it gives must lead back to
    the same row: a path that a more specific row of another upstream takes over is not reachable.
    """
    best: Route | None = None
    for route in routes:
        fits = path == route.target or (not route.exact and path.startswith(f"{route.target}/"))
        if fits and (best is None or len(route.target) > len(best.target)):
            best = route
    return None if best is None else best.prefix + path[len(best.target) :]


def compile_table(routes: Iterable[Route], policies: Iterable[Policy], upstreams: Iterable[str]) -> RouteTable:
    """Validate rows against each other, the policies and the known upstreams, and compile them.

    Raises `RouteTableInvalid` with every fault found, one a line.
    """
    rows = tuple(routes)
    rules = tuple(policies)
    known = {*upstreams, OWN}
    by_policy = {policy.name: policy for policy in rules}
    faults = [f"policy {name} stands twice" for name in _twice(policy.name for policy in rules)]
    faults += [f"route {name} stands twice" for name in _twice(row.name for row in rows)]
    faults += [f"prefix {prefix} stands twice" for prefix in _twice(row.prefix for row in rows)]
    for row in rows:
        faults += [f"route {row.name}: {fault}" for fault in _faults(row, by_policy, known)]
    if faults:
        raise RouteTableInvalid("\n".join(faults))
    return RouteTable(rows, by_policy, {row.prefix: row for row in rows})


def _twice(names: Iterable[str]) -> list[str]:
    seen: set[str] = set()
    again: list[str] = []
    for name in names:
        if name in seen:
            again.append(name)
        seen.add(name)
    return again


def _faults(row: Route, policies: Mapping[str, Policy], upstreams: set[str]) -> list[str]:
    faults = [fault for name, path in (("prefix", row.prefix), ("target", row.target)) for fault in _path(name, path)]
    if not row.prefix:
        faults.append("the prefix is empty")
    if row.upstream != OWN and not row.target:
        faults.append("without a target it would open the whole upstream, its metrics too")
    if row.upstream not in upstreams:
        faults.append(f"upstream {row.upstream} is unknown")
    if min(row.timeout_s, row.upload_s_max) <= 0:
        faults.append("the timeout is not above zero")
    if row.body_bytes_max < 0:
        faults.append("the body limit is below zero")
    if min(row.cost, row.write_cost) < 1:
        faults.append("a cost is below one")
    for name in row.policies:
        policy = policies.get(name)
        if policy is None:
            faults.append(f"policy {name} is unknown")
        elif max(row.cost, row.write_cost) > policy.quota:
            faults.append(f"costs more than the whole quota of policy {name}")
        elif policy.needs_caller and row.access is Access.PUBLIC:
            faults.append(f"policy {name} counts by caller, but the route is public")
    return faults


def _path(name: str, path: str) -> list[str]:
    faults: list[str] = []
    if path and not path.startswith("/"):
        faults.append(f"the {name} does not start with a slash")
    if path.endswith("/"):
        faults.append(f"the {name} ends with a slash")
    if "//" in path or {".", ".."} & set(path.split("/")) or any(sign in path for sign in "%?#\\ "):
        faults.append(f"the {name} is not a plain path")
    return faults
