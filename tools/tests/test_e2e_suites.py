"""Proves that the suites which the CI runs beside each other are every Postman collection, each way, once."""

from collections import Counter

import e2e


def test_the_suites_are_every_collection_both_ways_once() -> None:
    every = [path.name.removesuffix(e2e.SUFFIX) for path in e2e.collections([])]
    wanted = Counter((name, way) for name in every for way in e2e.WAYS)
    run = Counter((name, way) for names, ways in e2e.SUITES.values() for name in names for way in ways)
    assert run == wanted
