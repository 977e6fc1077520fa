"""Proves that rules and panels ask only what is there, that every alert is tried and has its runbook, and that the
dashboards can be drawn. What is planted wrong is noticed.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from exporting import dashboards
from hypothesis import given
from hypothesis import strategies as st
from observing import runbooks
from observing.known import everything, of_code
from observing.panels import DASHBOARDS
from observing.promql import Use, faults, gives, uses
from observing.rules import FOLDER, ROOT, RUNBOOK_ADDRESS, Rule, alert_tests, rules, series_of_tests

from ledgerlink_kit import http_app
from ledgerlink_stack.layout import choose_ports, scrape_targets

KNOWN = everything()
RULES = list(rules())
ALERTS = [rule for rule in RULES if rule.is_alert]
PANELS = [(board, panel) for board in DASHBOARDS for panel in board.panels()]
LABEL_IN_TEXT = re.compile(r"\$labels\.(\w+)")
LABEL_IN_LEGEND = re.compile(r"{{(\w+)}}")
name = st.from_regex(r"x_[a-z_]{0,12}", fullmatch=True)  # none of PromQL's own words


def test_there_are_rules_and_panels_to_look_at() -> None:
    assert len(ALERTS) > 20
    assert len(PANELS) > 60


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_names_only_metrics_and_labels_that_exist(rule: Rule) -> None:
    assert faults(rule.expression, KNOWN.get) == []


def test_a_panel_names_only_metrics_and_labels_that_exist() -> None:
    found = {
        f"{board.uid}: {panel.title}": wrong
        for board, panel in PANELS
        for query in panel.queries
        if (wrong := faults(query.expression, KNOWN.get))
    }
    assert found == {}


@pytest.mark.parametrize(
    ("expression", "sentence"),
    [
        ("rate(ledgerlink_wallet_credit_total[5m])", "no process and no rule gives ledgerlink_wallet_credit_total"),
        ('up{service="wallet"}', "up has no label service"),
        ("sum by (route) (ledgerlink_ready)", "ledgerlink_ready has no label route"),
        ("ledgerlink_wallet_batch_seconds", "no process and no rule gives ledgerlink_wallet_batch_seconds"),
        ("histogram_quantile(0.9, up)", "up has no label le"),
        (
            "job:ledgerlink_http_errors:ratio_rate9m",
            "no process and no rule gives job:ledgerlink_http_errors:ratio_rate9m",
        ),
    ],
)
def test_a_planted_mistake_is_named(expression: str, sentence: str) -> None:
    assert faults(expression, KNOWN.get) == [sentence]


@pytest.mark.parametrize(
    "expression",
    [
        "sum by (job (up)",
        "sum without (job) (up)",
        "sum by (role) (sum by (job) (up))",
        "histogram_quantile(0.9, sum(rate(ledgerlink_wallet_batch_seconds_bucket[5m])))",
    ],
)
def test_what_is_no_promql_or_groups_away_what_it_wants_is_refused(expression: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        uses(expression)


@given(metric=name, matched=name, grouped=st.frozensets(name, max_size=3))
def test_every_matcher_and_every_grouping_is_asked_of_the_metric(
    metric: str, matched: str, grouped: frozenset[str]
) -> None:
    expression = f'sum by ({", ".join(sorted(grouped))}) (rate({metric}{{{matched}="x"}}[5m])) / 2'
    assert uses(expression) == [Use(metric, grouped | {matched})]
    assert gives(expression, KNOWN.get) == grouped


def test_texts_and_legends_use_labels_that_their_expression_gives() -> None:
    wrong = [
        (rule.name, label)
        for rule in ALERTS
        for text in rule.annotations.values()
        for label in LABEL_IN_TEXT.findall(text)
        if label not in gives(rule.expression, KNOWN.get)
    ]
    wrong += [
        (panel.title, label)
        for _, panel in PANELS
        for query in panel.queries
        for label in LABEL_IN_LEGEND.findall(query.legend)
        if label not in gives(query.expression, KNOWN.get)
    ]
    assert wrong == []


def test_every_metric_of_the_code_is_watched_by_a_rule_or_a_panel() -> None:
    watched = {use.metric for rule in RULES for use in uses(rule.expression)}
    watched |= {use.metric for _, panel in PANELS for query in panel.queries for use in uses(query.expression)}
    unwatched = {metric for metric in of_code() if metric not in watched}
    assert {metric for metric in unwatched if not metric.endswith(("_sum", "_count", "_bucket"))} == set()


def test_the_latency_objective_stands_on_a_bucket_that_exists() -> None:
    asked = {bound for rule in RULES for bound in re.findall(r'le="([^"]+)"', rule.expression)}
    assert asked == {"0.5"}
    assert 0.5 in http_app._seconds._upper_bounds


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule.name)
def test_every_alert_says_how_bad_it_is_and_leads_to_its_runbook(rule: Rule) -> None:
    assert rule.severity in {"page", "ticket"}
    assert rule.annotations.keys() == {"summary", "description", "runbook_url"}
    assert rule.annotations["runbook_url"].startswith(RUNBOOK_ADDRESS)
    assert rule.runbook.read_text().startswith(f"# {rule.name}\n")


def test_the_index_lists_every_runbook_and_no_runbook_is_of_an_alert_that_is_gone() -> None:
    index = (runbooks.FOLDER / "README.md").read_text()
    pages = {page.name for page in runbooks.FOLDER.glob("*.md")} - {"README.md"}
    assert {page for page in pages if f"]({page})" not in index} == set()
    assert set(re.findall(r"\]\(([\w-]+\.md)\)", index)) <= pages
    of_alerts = {page for page in pages if not (runbooks.FOLDER / page).read_text().startswith("# The ")}
    assert of_alerts == {rule.runbook.name for rule in ALERTS}


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule.name)
def test_every_runbook_says_what_it_means_how_to_look_what_to_do_and_when_it_is_over(rule: Rule) -> None:
    text = rule.runbook.read_text()
    assert re.findall(r"(?m)^## (.+)$", text) == ["What it means", "Look", "Do", "It is over when"]
    assert any(True for _ in runbooks.blocks(rule.runbook)), "no command that can be tried"


def test_every_block_of_sql_names_a_database_that_there_is() -> None:
    asked = [text for page in runbooks.FOLDER.glob("*.md") for mark, text in runbooks.blocks(page) if mark == "sql"]
    assert asked
    assert {runbooks.database_of(text) for text in asked} <= {"identity", "wallet", "payments", "risk"}


def test_every_alert_is_tried_firing_and_silent() -> None:
    tried = set(alert_tests())
    assert {(rule.name, fires) for rule in ALERTS for fires in (True, False)} == tried


def test_the_rules_are_tried_with_series_as_processes_give_them() -> None:
    wrong = {
        series: use
        for series in series_of_tests()
        for use in uses(series)
        if use.labels != KNOWN.get(use.metric, frozenset())
    }
    assert wrong == {}


def test_compose_is_scraped_at_every_server_and_every_worker() -> None:
    ours = {(one["labels"]["job"], one["labels"]["role"]): one["targets"] for one in _compose()}
    local = {(each["labels"]["job"], each["labels"]["role"]): each["targets"] for each in _local()}
    assert ours.keys() == local.keys()
    for (job, role), (address,) in ours.items():
        host = job if role == "server" else f"{job}-worker"
        assert address == f"{host}:{local[job, role][0].rpartition(':')[2]}"


def test_every_folder_that_prometheus_watches_is_there_or_it_complains_for_ever() -> None:
    watched = re.findall(r"(\w+)/\*\.(?:json|yml)", (FOLDER / "prometheus.yml").read_text())
    assert len(watched) == 3
    assert all((FOLDER / name).is_dir() for name in watched)


def _compose() -> list[dict[str, Any]]:
    return json.loads((FOLDER / "targets" / "compose.json").read_text())


def _local() -> list[dict[str, Any]]:
    return json.loads(json.dumps(scrape_targets(choose_ports({}))))


def test_panels_lie_side_by_side_and_every_id_is_one_panels() -> None:
    uids = [board.uid for board in DASHBOARDS]
    assert len(uids) == len(set(uids))
    for path, text in dashboards.pages().items():
        board = json.loads(text)
        assert Path(path).stem == board["uid"]
        ids = [panel["id"] for panel in board["panels"]]
        assert len(ids) == len(set(ids))
        taken: set[tuple[int, int]] = set()
        for panel in board["panels"]:
            grid = panel["gridPos"]
            cells = {
                (x, y) for x in range(grid["x"], grid["x"] + grid["w"]) for y in range(grid["y"], grid["y"] + grid["h"])
            }
            assert not cells & taken
            assert max(x for x, _ in cells) < 24
            taken |= cells


def test_every_service_has_a_dashboard() -> None:
    jobs = {each["labels"]["job"] for each in _compose()}
    assert {f"ledgerlink-{job}" for job in jobs} | {"ledgerlink-overview", "ledgerlink-integrity"} == {
        board.uid for board in DASHBOARDS
    }


def test_grafana_finds_the_data_and_the_dashboards_where_they_are() -> None:
    source = (ROOT / "deploy/observability/grafana/provisioning/datasources/prometheus.yml").read_text()
    assert "uid: prometheus\n" in source
    assert all('"uid": "prometheus"' in text for text in dashboards.pages().values())
