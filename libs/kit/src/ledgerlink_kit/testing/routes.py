"""The walk over all routes: each demands a caller, or stands in the list of public ones."""

from collections.abc import Set as AbstractSet

from fastapi import FastAPI

from ledgerlink_kit.http_app import KIT_ROUTES, api_routes, guard_of


def assert_every_route_is_guarded(app: FastAPI, public_routes: AbstractSet[str]) -> None:
    """Fail when a route has no guard and is not public, or is called public and has one, or does not exist."""
    routes = [route for route in api_routes(app) if route.path not in KIT_ROUTES]
    open_paths = {str(route.path) for route in routes if guard_of(route) is None}
    guarded = {str(route.path) for route in routes if guard_of(route) is not None}
    assert open_paths - public_routes == set(), f"without a guard: {sorted(open_paths - public_routes)}"
    assert public_routes - open_paths == set(), f"called public, but not so: {sorted(public_routes - open_paths)}"
    assert guarded or public_routes, "the app has no routes of its own"
