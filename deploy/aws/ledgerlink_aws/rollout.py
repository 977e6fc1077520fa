"""Bring a release to an environment: revise the task definitions, migrate by one-off tasks, then update the services.

Each step may be repeated, so a rollout that was killed is run again: what runs the release already is left alone, a
revision that nobody runs does no harm, and a migration waits for its turn behind the database's lock and does nothing
when it is done. Two rollouts at once would race for what runs in the end: the pipeline runs one at a time. A release
that does not become healthy is taken back by ECS's own circuit breaker, service by service; this program then says so
and ends with an error.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ledgerlink_aws.wiring import Service, processes

POLL_S: Final = 5.0
MIGRATION_MAX_S: Final = 1_800.0
UPDATE_MAX_S: Final = 1_800.0
SEEN_AFTER_S: Final = 30.0
"""How long ECS may take to show a deployment that it has accepted."""
DESCRIBED_MAX: Final = 10
"""Services that ECS describes in one call."""
TAG: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
REGISTERED_FIELDS: Final = (
    "family",
    "taskRoleArn",
    "executionRoleArn",
    "networkMode",
    "containerDefinitions",
    "volumes",
    "placementConstraints",
    "requiresCompatibilities",
    "cpu",
    "memory",
    "runtimePlatform",
    "ephemeralStorage",
)
"""What of a described task definition may be given to a new one."""
Report = Callable[[str], None]


class RolloutFailed(Exception):
    """The release does not run; the message says what does, and what to look at."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where to roll out, and with what. ``ecs`` is boto3's client or its double; ``pause`` waits for seconds."""

    ecs: Any
    environment: str
    services: Sequence[Service]
    pause: Callable[[float], None]
    report: Report

    @property
    def cluster(self) -> str:
        """The cluster's name."""
        return f"ledgerlink-{self.environment}"


def roll_out(place: Place, tag: str, *, migrate: bool = True) -> None:
    """Bring release ``tag`` to the environment; ``migrate`` is left out to go back. Raises `RolloutFailed`."""
    if not TAG.fullmatch(tag):
        raise RolloutFailed(f"{tag!r} is no tag of an image: letters, digits, dots, dashes and underscores.")
    names = [process.name for process in processes(tuple(place.services))]
    running = _describe(place, names)
    if migrate:
        for service in place.services:
            if service.has_database:
                _migrate(place, service, tag, running[service.name]["networkConfiguration"])
    # The gateway comes last: what it may ask for is there by then.
    for wave in ([name for name in names if name != "gateway"], ["gateway"]):
        wanted = {name: revise(place, running[name]["taskDefinition"], tag) for name in wave}
        for name, definition in wanted.items():
            if running[name]["taskDefinition"] != definition:
                place.ecs.update_service(cluster=place.cluster, service=name, taskDefinition=definition)
                place.report(f"{name}: {definition.rpartition('/')[2]}")
        _await_running(place, wanted)


def revise(place: Place, current: str, tag: str) -> str:
    """Give a task definition that is ``current`` but for the image's tag; an equal one is not made again."""
    definition = place.ecs.describe_task_definition(taskDefinition=current)["taskDefinition"]
    kept = {name: definition[name] for name in REGISTERED_FIELDS if name in definition}
    containers = [
        {**each, "image": f"{each['image'].rpartition(':')[0]}:{tag}"} if each["name"] == "app" else each
        for each in kept["containerDefinitions"]
    ]
    if containers == kept["containerDefinitions"]:
        return definition["taskDefinitionArn"]
    made = place.ecs.register_task_definition(**{**kept, "containerDefinitions": containers})
    return made["taskDefinition"]["taskDefinitionArn"]


def _migrate(place: Place, service: Service, tag: str, network: dict[str, Any]) -> None:
    """Run one service's migrations to their end, in the network where its server runs."""
    name = f"{service.name}-migrate"
    started = place.ecs.run_task(
        cluster=place.cluster,
        taskDefinition=revise(place, f"{place.cluster}-{name}", tag),
        launchType="FARGATE",
        networkConfiguration=network,
        startedBy="rollout",
    )
    if not started["tasks"]:
        raise RolloutFailed(f"{name} could not start: {started['failures']}. Nothing was updated.")
    task = started["tasks"][0]
    waited = 0.0
    while task["lastStatus"] != "STOPPED":
        if waited >= MIGRATION_MAX_S:
            raise RolloutFailed(f"{name} still runs after {MIGRATION_MAX_S:.0f} s; see its log. Nothing was updated.")
        place.pause(POLL_S)
        waited += POLL_S
        task = place.ecs.describe_tasks(cluster=place.cluster, tasks=[task["taskArn"]])["tasks"][0]
    codes = [each.get("exitCode") for each in task["containers"]]
    if codes != [0]:
        raise RolloutFailed(
            f"{name} ended with {codes[0]} ({task.get('stoppedReason', 'no reason given')}); see the log group "
            f"/ledgerlink/{place.environment}/{name}. Nothing was updated: the previous release runs on."
        )
    place.report(f"{name}: done")


def _await_running(place: Place, wanted: dict[str, str]) -> None:
    """Wait until each service runs its new revision alone, or ECS has taken it back."""
    waited, left = 0.0, dict(wanted)
    while left:
        found = _describe(place, list(left))
        for name, definition in list(left.items()):
            mine = [each for each in found[name]["deployments"] if each["taskDefinition"] == definition]
            is_gone = not mine and waited >= SEEN_AFTER_S
            if is_gone or (mine and mine[0].get("rolloutState") == "FAILED"):
                raise RolloutFailed(f"{name} did not become healthy; ECS has taken it back: see its events and log.")
            if mine and mine[0]["status"] == "PRIMARY" and mine[0].get("rolloutState") == "COMPLETED":
                del left[name]
        if left and waited >= UPDATE_MAX_S:
            raise RolloutFailed(f"{', '.join(left)} did not settle within {UPDATE_MAX_S:.0f} s: see their events.")
        if left:
            place.pause(POLL_S)
            waited += POLL_S


def _describe(place: Place, names: Sequence[str]) -> dict[str, Any]:
    """Describe services by name. Raises `RolloutFailed` for one that is not there."""
    found: dict[str, Any] = {}
    for start in range(0, len(names), DESCRIBED_MAX):
        some = list(names[start : start + DESCRIBED_MAX])
        answer = place.ecs.describe_services(cluster=place.cluster, services=some)
        found.update({each["serviceName"]: each for each in answer["services"] if each["status"] == "ACTIVE"})
    missing = sorted(set(names) - found.keys())
    if missing:
        raise RolloutFailed(f"{place.cluster} has no {', '.join(missing)}: deploy the stack first, see docs/aws.")
    return found
