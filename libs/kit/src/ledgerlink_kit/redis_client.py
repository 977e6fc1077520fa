"""One way to Redis: bounded waits, bytes in and out, and no retry that could do a thing twice."""

from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

RedisClient = Any
"""A `redis.asyncio.Redis`, whose own annotations are too partial for strict checking."""


def connect_redis(url: str) -> RedisClient:
    """Give a client for ``url``; it connects on first use, and every command waits five seconds at the most."""
    return Redis.from_url(  # pyright: ignore[reportUnknownMemberType]
        url, socket_timeout=5, socket_connect_timeout=2, health_check_interval=15, retry=Retry(NoBackoff(), 0)
    )
