"""Proves the order of a rollout, that each step can be repeated, and that nothing is updated on a failed migration."""

import copy
from typing import Any

import pytest

from ledgerlink_aws.rollout import Place, RolloutFailed, roll_out
from ledgerlink_aws.wiring import processes, services

EVERY = services(sandbox=True)
NAMES = [process.name for process in processes(EVERY)]
STORES = [service.name for service in EVERY if service.has_database]


class FakeEcs:
    """ECS as far as a rollout sees it: services, revisions, tasks that end at the second look."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.definitions: dict[str, dict[str, Any]] = {}
        self.latest: dict[str, str] = {}
        self.exit_codes: dict[str, int | None] = {}
        self.unhealthy: set[str] = set()
        self.never_settles: set[str] = set()
        self.cannot_start = False
        self.tasks: dict[str, str] = {}
        for name in (*NAMES, *(f"{store}-migrate" for store in STORES)):
            self._add(
                {
                    "family": f"ledgerlink-dev-{name}",
                    "status": "ACTIVE",
                    "containerDefinitions": [
                        {"name": "app", "image": "registry.example/ledgerlink/app:1", "secrets": [{"name": "A"}]},
                        {"name": "otel", "image": "registry.example/ledgerlink/otel-collector:7"},
                    ],
                }
            )
        self.running = {name: self.latest[f"ledgerlink-dev-{name}"] for name in NAMES}
        self.calls.clear()

    def _add(self, definition: dict[str, Any]) -> str:
        family = definition["family"]
        number = sum(each["family"] == family for each in self.definitions.values()) + 1
        arn = f"arn:aws:ecs:r:a:task-definition/{family}:{number}"
        self.definitions[arn] = {**copy.deepcopy(definition), "taskDefinitionArn": arn}
        self.latest[family] = arn
        self.calls.append(("register", family))
        return arn

    def describe_task_definition(self, *, taskDefinition: str) -> dict[str, Any]:  # noqa: N803 - AWS's word
        return {"taskDefinition": self.definitions[self.latest.get(taskDefinition, taskDefinition)]}

    def register_task_definition(self, **definition: Any) -> dict[str, Any]:
        assert "status" not in definition  # AWS refuses what it only tells
        return {"taskDefinition": self.definitions[self._add(definition)]}

    def describe_services(self, *, cluster: str, services: list[str]) -> dict[str, Any]:
        assert cluster == "ledgerlink-dev"
        assert len(services) <= 10
        return {"services": [self._service(name) for name in services if name in self.running]}

    def _service(self, name: str) -> dict[str, Any]:
        state = "IN_PROGRESS" if name in self.never_settles else "COMPLETED"
        definition = self.running[name]
        if name in self.unhealthy:
            definition = f"arn:aws:ecs:r:a:task-definition/ledgerlink-dev-{name}:1"
        return {
            "serviceName": name,
            "status": "ACTIVE",
            "taskDefinition": definition,
            "networkConfiguration": {"awsvpcConfiguration": {"securityGroups": [name]}},
            "deployments": [{"status": "PRIMARY", "taskDefinition": definition, "rolloutState": state}],
        }

    def update_service(self, *, cluster: str, service: str, taskDefinition: str) -> None:  # noqa: N803 - AWS's word
        assert cluster == "ledgerlink-dev"
        self.calls.append(("update", service))
        self.running[service] = taskDefinition

    def run_task(self, **options: Any) -> dict[str, Any]:
        definition = self.definitions[options["taskDefinition"]]
        family = definition["family"].removeprefix("ledgerlink-dev-")
        self.calls.append(("run", family))
        network = options["networkConfiguration"]["awsvpcConfiguration"]
        assert network == {"securityGroups": [family.removesuffix("-migrate")]}
        assert definition["containerDefinitions"][0]["image"].endswith(":2")
        if self.cannot_start:
            return {"tasks": [], "failures": [{"reason": "no capacity"}]}
        self.tasks[f"task/{family}"] = family
        return {"tasks": [{"taskArn": f"task/{family}", "lastStatus": "PROVISIONING"}], "failures": []}

    def describe_tasks(self, *, cluster: str, tasks: list[str]) -> dict[str, Any]:
        assert cluster == "ledgerlink-dev"
        family = self.tasks[tasks[0]]
        code = self.exit_codes.get(family, 0)
        container: dict[str, int] = {} if code is None else {"exitCode": code}
        status = "RUNNING" if code == -1 else "STOPPED"
        return {"tasks": [{"taskArn": tasks[0], "lastStatus": status, "containers": [container]}]}


@pytest.fixture
def ecs() -> FakeEcs:
    return FakeEcs()


def place(ecs: FakeEcs) -> Place:
    return Place(ecs, "dev", EVERY, lambda _seconds: None, lambda _line: None)


def updates(ecs: FakeEcs) -> list[str]:
    return [name for kind, name in ecs.calls if kind == "update"]


def test_every_migration_has_ended_before_any_service_changes_and_the_gateway_comes_last(ecs: FakeEcs) -> None:
    roll_out(place(ecs), "2")
    kinds = [kind for kind, _ in ecs.calls if kind != "register"]
    assert kinds == ["run"] * len(STORES) + ["update"] * len(NAMES)
    assert sorted(updates(ecs)) == sorted(NAMES)
    assert updates(ecs)[-1] == "gateway"


def test_only_the_image_of_our_own_container_changes(ecs: FakeEcs) -> None:
    before = copy.deepcopy(ecs.definitions[ecs.running["wallet"]]["containerDefinitions"])
    roll_out(place(ecs), "2")
    app, otel = ecs.definitions[ecs.running["wallet"]]["containerDefinitions"]
    assert app == {**before[0], "image": "registry.example/ledgerlink/app:2"}
    assert otel == before[1]


@pytest.mark.parametrize("code", [1, 137, None])
def test_a_failed_migration_leaves_the_previous_release_alone(ecs: FakeEcs, code: int | None) -> None:
    ecs.exit_codes["wallet-migrate"] = code
    with pytest.raises(RolloutFailed, match=r"wallet-migrate ended with .*the previous release runs on"):
        roll_out(place(ecs), "2")
    assert updates(ecs) == []


def test_a_migration_without_end_and_one_that_cannot_start_update_nothing(ecs: FakeEcs) -> None:
    ecs.exit_codes["identity-migrate"] = -1
    with pytest.raises(RolloutFailed, match="identity-migrate still runs"):
        roll_out(place(ecs), "2")
    ecs.cannot_start = True
    with pytest.raises(RolloutFailed, match="no capacity"):
        roll_out(place(ecs), "2")
    assert updates(ecs) == []


def test_a_release_that_ecs_took_back_fails_the_rollout_and_keeps_the_gateway_as_it_was(ecs: FakeEcs) -> None:
    ecs.unhealthy.add("risk")
    with pytest.raises(RolloutFailed, match="risk did not become healthy"):
        roll_out(place(ecs), "2")
    assert "gateway" not in updates(ecs)


def test_a_service_that_never_settles_ends_the_wait(ecs: FakeEcs) -> None:
    ecs.never_settles.add("wallet")
    with pytest.raises(RolloutFailed, match="wallet did not settle"):
        roll_out(place(ecs), "2")


def test_a_rollout_can_be_repeated_and_changes_nothing_then(ecs: FakeEcs) -> None:
    roll_out(place(ecs), "2")
    before = copy.deepcopy(ecs.running)
    ecs.calls.clear()
    roll_out(place(ecs), "2")
    assert {kind for kind, _ in ecs.calls} == {"run"}  # a migration that is done does nothing
    assert ecs.running == before


def test_a_rollout_that_died_half_way_is_finished_by_the_next(ecs: FakeEcs) -> None:
    ecs.never_settles.add("wallet")
    with pytest.raises(RolloutFailed):
        roll_out(place(ecs), "2")
    ecs.never_settles.clear()
    roll_out(place(ecs), "2")
    images = {ecs.definitions[arn]["containerDefinitions"][0]["image"] for arn in ecs.running.values()}
    assert images == {"registry.example/ledgerlink/app:2"}


def test_going_back_runs_no_migration(ecs: FakeEcs) -> None:
    roll_out(place(ecs), "2")
    ecs.calls.clear()
    roll_out(place(ecs), "1", migrate=False)
    assert "run" not in {kind for kind, _ in ecs.calls}
    assert updates(ecs)[-1] == "gateway"


def test_a_service_that_is_not_there_stops_the_rollout_before_it_begins(ecs: FakeEcs) -> None:
    del ecs.running["payments-worker"]
    with pytest.raises(RolloutFailed, match="has no payments-worker"):
        roll_out(place(ecs), "2")
    assert ecs.calls == []


@pytest.mark.parametrize("tag", ["", "a b", "-x", "v1:2", "x" * 129])
def test_what_is_no_tag_is_refused(ecs: FakeEcs, tag: str) -> None:
    with pytest.raises(RolloutFailed, match="is no tag"):
        roll_out(place(ecs), tag)
    assert ecs.calls == []
