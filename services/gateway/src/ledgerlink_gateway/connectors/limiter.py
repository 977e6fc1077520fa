"""Rate limits: GCRA on Redis, on Redis' own clock, in one script for all policies of a request.

When Redis is lost a request is never an error: each policy says whether it lets pass, refuses, or counts in this
process alone (its whole quota: a gateway of one process loses nothing; one of many is generous for a while).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ledgerlink_gateway.connectors.redis_pipe import RedisLost, RedisPipe, RedisReplyError
from ledgerlink_gateway.domain.gcra import MICROS, Charge, Standing, WhenLost, decide
from ledgerlink_gateway.metrics import LIMITS_WITHOUT_REDIS
from ledgerlink_kit.clock import Clock

LOCAL_KEYS_MAX: Final = 50_000
"""Keys that one process counts while Redis is away; the longest unused is forgotten first."""

# KEYS: one per charge. ARGV: interval, window, cost per charge, in whole microseconds and units.
# Gives now, whether it passes, then remaining, reset and wait per charge. Mirrors `domain.gcra.decide`; numbers stay
# below 2^53 (microseconds since 1970 need 51 bits), so Lua's doubles hold them exactly.
GCRA_SCRIPT: Final = """\
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local passes = 1
local floors, moved, waits = {}, {}, {}
for i = 1, #KEYS do
  local interval, window, cost = tonumber(ARGV[3*i-2]), tonumber(ARGV[3*i-1]), tonumber(ARGV[3*i])
  local tat = tonumber(redis.call('GET', KEYS[i]) or '0') or 0
  if tat > now + window then tat = now + window end
  if tat < now then tat = now end
  floors[i] = tat
  moved[i] = tat + cost * interval
  waits[i] = math.max(0, moved[i] - window - now)
  if waits[i] > 0 then passes = 0 end
end
local out = {now, passes}
for i = 1, #KEYS do
  local interval, window = tonumber(ARGV[3*i-2]), tonumber(ARGV[3*i-1])
  local kept = floors[i]
  if passes == 1 then
    kept = moved[i]
    redis.call('SET', KEYS[i], string.format('%.0f', kept), 'PX', math.ceil((kept - now) / 1000) + 1)
  end
  out[#out+1] = math.floor((now + window - kept) / interval)
  out[#out+1] = kept - now
  out[#out+1] = waits[i]
end
return out
"""
_HEAD_FIELDS: Final = 2
_FIELDS: Final = 3


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a request passes its limits and where each of its keys stands.

    ``lost_policy`` names the policy that refuses for want of Redis; ``is_local`` says that this process alone counted.
    """

    passes: bool
    standings: Sequence[Standing]
    lost_policy: str | None = None
    is_local: bool = False
    now_us: int = 0


PASSED: Final = Verdict(passes=True, standings=())


class Limiter:
    """Charges requests to their policies. One per process."""

    def __init__(self, pipe: RedisPipe, clock: Clock, prefix: str = "limit:") -> None:
        """``prefix`` starts every key in Redis."""
        self._pipe = pipe
        self._clock = clock
        self._prefix = prefix.encode()
        self._local: dict[str, int] = {}

    async def charge(self, charges: Sequence[Charge]) -> Verdict:
        """Charge all policies of a request, or none of them if one refuses. Never raises for want of Redis."""
        if not charges:
            return PASSED
        arguments: list[bytes] = []
        for policy, _, cost in charges:
            arguments += (b"%d" % policy.interval_us, b"%d" % policy.window_us, b"%d" % cost)
        try:
            out = await self._pipe.run([self._prefix + charge.key.encode() for charge in charges], arguments)
        except (RedisLost, RedisReplyError):
            LIMITS_WITHOUT_REDIS.inc()
            return self._without_redis(charges)
        return Verdict(
            passes=out[1] == 1,
            standings=[
                Standing(charge.policy, out[at], out[at + 1], out[at + 2])
                for charge, at in zip(charges, range(_HEAD_FIELDS, len(out), _FIELDS), strict=True)
            ],
            now_us=out[0],
        )

    def _without_redis(self, charges: Sequence[Charge]) -> Verdict:
        for charge in charges:
            if charge.policy.when_lost is WhenLost.CLOSED:
                return Verdict(passes=False, standings=(), lost_policy=charge.policy.name, is_local=True)
        counted = [charge for charge in charges if charge.policy.when_lost is WhenLost.LOCAL]
        now_us = int(self._clock.monotonic() * MICROS)
        tats = [self._local.pop(charge.key, 0) for charge in counted]
        passes, kept, standings = decide(now_us, tats, counted)
        for charge, tat in zip(counted, kept, strict=True):
            self._local[charge.key] = tat  # popped and set again: the dict's order is the order of last use
        while len(self._local) > LOCAL_KEYS_MAX:
            del self._local[next(iter(self._local))]
        return Verdict(passes=passes, standings=standings, is_local=True, now_us=now_us)
