"""Loopback ports: finding a free one, and asking whether one is taken."""

from __future__ import annotations

import random
import socket

LOOPBACK = "127.0.0.1"
CONNECT_TIMEOUT_S = 0.5
QUIET_RANGE = 15_000, 31_000
TRIES = 100


def free_port() -> int:
    """Return a port that was free a moment ago; the kernel does not hand the same one out again at once."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def quiet_port(dice: random.Random) -> int:
    """Return a free port from below the range that systems lend to clients, for a server that must come back to it."""
    for _ in range(TRIES):
        port = dice.randint(*QUIET_RANGE)
        if is_free(port):
            return port
    return free_port()


def is_free(port: int) -> bool:
    """Say whether a server could listen on `port` of the loopback interface now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: without it a port whose last connections are in TIME_WAIT looks busy for a minute.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def accepts(port: int) -> bool:
    """Say whether something listens on `port` of the loopback interface."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(CONNECT_TIMEOUT_S)
        return probe.connect_ex((LOOPBACK, port)) == 0
