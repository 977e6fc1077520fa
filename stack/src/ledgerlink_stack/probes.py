"""Asking a process whether it is ready, with nothing but the standard library: the supervisor stays small."""

from __future__ import annotations

import http.client
from typing import TYPE_CHECKING

from ledgerlink_stack import postgres, redis
from ledgerlink_stack.ports import LOOPBACK

if TYPE_CHECKING:
    from ledgerlink_stack.plan import Plan, Program

READY_PATH = "/readyz"
TIMEOUT_S = 5.0


def ready(plan: Plan, program: Program) -> bool:
    """Say whether `program` does its work now. Raises `Trouble` when waiting cannot help."""
    if program.kind == "postgres":
        return postgres.answers(plan.postgres_dsn)
    if program.kind == "redis":
        return redis.answers(program.port, plan.redis_password)
    return answers_ok(program.port)


def answers_ok(port: int) -> bool:
    """Say whether `GET /readyz` on the loopback `port` answers 200."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", READY_PATH, headers={"Connection": "close"})
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
