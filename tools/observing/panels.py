"""The dashboards as plain data: what each panel asks, in which unit, and what an empty one means."""

from dataclasses import dataclass
from typing import Final, Literal

PANELS_PER_ROW: Final = 3

Kind = Literal["timeseries", "stat"]


@dataclass(frozen=True, slots=True)
class Query:
    """One question in PromQL; ``legend`` names its series by their labels."""

    expression: str
    legend: str


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel. ``unit`` is Grafana's name of it; ``idle`` says why a healthy stack may leave the panel empty."""

    title: str
    queries: tuple[Query, ...]
    unit: str = "short"
    kind: Kind = "timeseries"
    meaning: str = ""
    idle: str = ""


@dataclass(frozen=True, slots=True)
class Dashboard:
    """One dashboard: rows of panels under their headings."""

    uid: str
    title: str
    rows: tuple[tuple[str, tuple[Panel, ...]], ...]

    def panels(self) -> list[Panel]:
        """Every panel, from the top."""
        return [panel for _, panels in self.rows for panel in panels]


def _rate(metric: str, by: str, job: str) -> Query:
    """Events a second by one label, over five minutes."""
    return Query(f'sum by ({by}) (rate({metric}{{job="{job}"}}[5m]))', " ".join(f"{{{{{one}}}}}" for one in _names(by)))


def _names(by: str) -> list[str]:
    return [name.strip() for name in by.split(",")]


def _quantiles(metric: str, job: str) -> tuple[Query, ...]:
    """The median and the 99th of a hundred, over five minutes."""
    return tuple(
        Query(f'histogram_quantile({part}, sum by (le) (rate({metric}_bucket{{job="{job}"}}[5m])))', name)
        for part, name in (("0.5", "p50"), ("0.99", "p99"))
    )


_NO_ERROR: Final = "no request of the demo is answered 5xx"
_NOTHING_AMISS: Final = "nothing went amiss"


def _red(job: str) -> tuple[str, tuple[Panel, ...]]:
    """Rate, errors and duration of one service, by route."""
    requests = f'job_method_route:ledgerlink_http_requests:rate5m{{job="{job}"}}'
    errors = f'job_method_route:ledgerlink_http_errors:rate5m{{job="{job}"}}'
    return "Requests", (
        Panel("Requests a second, by route", (Query(requests, "{{method}} {{route}}"),), "reqps"),
        Panel("5xx a second, by route", (Query(errors, "{{method}} {{route}}"),), "reqps", idle=_NO_ERROR),
        Panel(
            "99 of 100 are answered within",
            (Query(f'job_route:ledgerlink_http_request_duration_seconds:p99_5m{{job="{job}"}}', "{{route}}"),),
            "s",
            meaning="Routes that stream for as long as their caller likes are slow by nature.",
        ),
    )


def _house(job: str) -> tuple[str, tuple[Panel, ...]]:
    """What every process of a service shows of itself."""
    of = f'{{job="{job}"}}'
    ready = (Query(f"min by (role, part) (ledgerlink_ready{of})", "{{role}} {{part}}"),)
    pools = (
        Query(f"sum by (role, pool) (ledgerlink_db_pool_in_use{of})", "{{pool}} in use"),
        Query(f"sum by (role, pool) (ledgerlink_db_pool_limit{of})", "{{pool}} at the most"),
    )
    return "Processes", (
        Panel("Parts that answer (1) or not (0)", ready),
        Panel("Memory", (Query(f"process_resident_memory_bytes{of}", "{{role}} {{instance}}"),), "bytes"),
        Panel("Cores in use", (Query(f"rate(process_cpu_seconds_total{of}[5m])", "{{role}} {{instance}}"),)),
        *((Panel("Database connections", pools),) if job != "gateway" else ()),
        Panel(
            "Spans a second, by what became of them",
            (_rate("ledgerlink_spans_total", "role, outcome", job),),
            meaning="All but `exported` are lost: the collector is away or slow, or takes them not.",
        ),
    )


def _events(job: str, *, inbox: bool) -> tuple[str, tuple[Panel, ...]]:
    """What a service says to the others, and what it hears."""
    of = f'{{job="{job}"}}'
    told = (
        Panel("Oldest event not yet said", (Query(f"ledgerlink_outbox_lag_seconds{of}", "{{instance}}"),), "s"),
        Panel(
            "Events said a second",
            (_rate("ledgerlink_outbox_published_total", "service", job),),
            idle="risk tells of cases, and the demo opens none" if job == "risk" else "",
        ),
        Panel(
            "Said again after Redis lost them",
            (_rate("ledgerlink_outbox_republished_total", "service", job),),
            idle="Redis has lost nothing",
        ),
    )
    heard = (
        Panel(
            "Events heard a second",
            (_rate("ledgerlink_inbox_handled_total", "type", job),),
            idle="payments hears of resolved cases, and the demo resolves none",
        ),
        Panel("Events laid aside", (_rate("ledgerlink_inbox_dead_total", "type", job),), idle=_NOTHING_AMISS),
    )
    return "Events", (*told, *(heard if inbox else ()))


def _invariants(selected: str) -> tuple[str, tuple[Panel, ...]]:
    """The promises that workers check."""
    return "Invariants", (
        Panel("Broken", (Query(f"ledgerlink_invariant_broken{selected}", "{{name}}"),), kind="stat"),
        Panel("Since the last check", (Query(f"ledgerlink_invariant_age_seconds{selected}", "{{name}}"),), "s"),
        Panel("To be checked every", (Query(f"ledgerlink_invariant_every_seconds{selected}", "{{name}}"),), "s"),
    )


_COMMITTER: Final = (
    "Committer",
    (
        Panel("Commands a second", (_rate("ledgerlink_wallet_commands_total", "command, status", "wallet"),)),
        Panel(
            "Refused a second, by code",
            (_rate("ledgerlink_wallet_refusals_total", "code", "wallet"),),
            idle=_NOTHING_AMISS,
        ),
        Panel(
            "Outcomes given again by their id",
            (Query("sum(rate(ledgerlink_wallet_idempotency_replays_total[5m]))", "outcomes"),),
        ),
        Panel("Commands in one commit", _quantiles("ledgerlink_wallet_batch_commands", "wallet")),
        Panel("Time of a commit", _quantiles("ledgerlink_wallet_batch_seconds", "wallet"), "s"),
        Panel(
            "Commands that wait, and how many may",
            (
                Query("ledgerlink_wallet_queue_commands", "{{instance}} wait"),
                Query("ledgerlink_wallet_queue_limit_commands", "{{instance}} may"),
            ),
        ),
        Panel(
            "Batches run again",
            (_rate("ledgerlink_wallet_batch_reruns_total", "reason", "wallet"),),
            idle=_NOTHING_AMISS,
        ),
    ),
)
_TREE: Final = (
    "Merkle tree",
    (
        Panel("Broken", (Query("ledgerlink_wallet_tree_broken", "{{instance}}"),), kind="stat"),
        Panel("Leaves at the latest checkpoint", (Query("ledgerlink_wallet_tree_size", "leaves"),)),
        Panel("Leaves sealed a second", (Query("sum(rate(ledgerlink_wallet_leaves_sealed_total[5m]))", "leaves"),)),
    ),
)
_MONEY: Final = (
    "Money",
    (
        Panel(
            "Credits by owners a second",
            (_rate("ledgerlink_wallet_credits_total", "currency", "wallet"),),
            idle="the demo funds wallets by payments and transfers",
        ),
        Panel(
            "Debits by owners a second",
            (_rate("ledgerlink_wallet_debits_total", "currency", "wallet"),),
            idle="the demo pays by payments and transfers",
        ),
        Panel("Holds that expired", (Query("sum(rate(ledgerlink_wallet_holds_expired_total[5m]))", "holds"),)),
        Panel(
            "Lines of imports a second",
            (_rate("ledgerlink_wallet_import_lines_total", "outcome", "wallet"),),
            idle="the demo imports no file",
        ),
        Panel(
            "Scheduled transfers a second",
            (_rate("ledgerlink_wallet_scheduled_occurrences_total", "outcome", "wallet"),),
            idle="the demo schedules nothing",
        ),
        Panel(
            "Age of the oldest scheduled transfer that is due",
            (Query("max(ledgerlink_wallet_schedules_lag_seconds)", "due"),),
            "s",
        ),
    ),
)

OVERVIEW: Final = Dashboard(
    "ledgerlink-overview",
    "LedgerLink: overview",
    (
        (
            "Now",
            (
                Panel(
                    "Alerts that fire",
                    (
                        Query(
                            'count by (alertname, severity) (ALERTS{alertstate="firing"}) or vector(0)', "{{alertname}}"
                        ),
                    ),
                    kind="stat",
                ),
                Panel("Processes that answer", (Query("sum by (job, role) (up)", "{{job}} {{role}}"),), kind="stat"),
                Panel("Promises that are broken", (Query("sum(ledgerlink_invariant_broken)", "broken"),), kind="stat"),
            ),
        ),
        (
            "Requests",
            (
                Panel(
                    "Requests a second",
                    (Query("sum by (job) (job_method_route:ledgerlink_http_requests:rate5m)", "{{job}}"),),
                    "reqps",
                ),
                Panel(
                    "Part that is answered 5xx",
                    (Query("job:ledgerlink_http_errors:ratio_rate5m", "{{job}}"),),
                    "percentunit",
                ),
                Panel(
                    "99 of 100 are answered within",
                    (
                        Query(
                            "histogram_quantile(0.99, sum by (job, le) "
                            "(job_route_le:ledgerlink_http_request_duration_seconds_bucket:rate5m))",
                            "{{job}}",
                        ),
                    ),
                    "s",
                ),
            ),
        ),
        (
            "Objectives",
            (
                Panel(
                    "Availability: budget left of three days",
                    (Query("1 - job:ledgerlink_http_errors:ratio_rate3d / 0.001", "{{job}}"),),
                    "percentunit",
                    meaning="99.9 % of the requests are answered without a 5xx. Below nothing the objective is missed.",
                ),
                Panel(
                    "Latency: budget left of three days",
                    (Query("1 - job:ledgerlink_http_slow:ratio_rate3d / 0.01", "{{job}}"),),
                    "percentunit",
                    meaning="99 % of the requests are answered within 0.5 s; routes that stream are left out.",
                ),
                Panel(
                    "How fast the availability's budget burns, over an hour",
                    (Query("job:ledgerlink_http_errors:ratio_rate1h / 0.001", "{{job}}"),),
                    meaning="1 uses the budget exactly up; at 14.4 a page goes out.",
                ),
            ),
        ),
        (
            "Work between the services",
            (
                Panel("Oldest event not yet said", (Query("ledgerlink_outbox_lag_seconds", "{{job}}"),), "s"),
                Panel(
                    "Parts that do not answer",
                    (Query("sum by (job, role) (ledgerlink_ready == bool 0)", "{{job}} {{role}}"),),
                ),
                Panel("Memory", (Query("process_resident_memory_bytes", "{{job}} {{role}}"),), "bytes"),
            ),
        ),
    ),
)
GATEWAY: Final = Dashboard(
    "ledgerlink-gateway",
    "LedgerLink: gateway",
    (
        _red("gateway"),
        (
            "Edge",
            (
                Panel(
                    "Refused by the gateway itself, by reason",
                    (_rate("ledgerlink_gateway_refusals_total", "reason", "gateway"),),
                    "reqps",
                    idle="every request of the demo is let through",
                ),
                Panel("In flight to a service", (Query("ledgerlink_gateway_upstream_in_flight", "{{upstream}}"),)),
                Panel(
                    "Circuits: 0 closed, 1 half-open, 2 open",
                    (Query("ledgerlink_gateway_upstream_circuit", "{{upstream}}"),),
                ),
                Panel(
                    "Sent again after a dead connection",
                    (_rate("ledgerlink_gateway_upstream_repeats_total", "upstream", "gateway"),),
                    idle="no pooled connection died",
                ),
                Panel(
                    "Limits decided without Redis",
                    (Query("sum(rate(ledgerlink_gateway_limits_without_redis_total[5m]))", "requests"),),
                    "reqps",
                ),
            ),
        ),
        _house("gateway"),
    ),
)
IDENTITY: Final = Dashboard(
    "ledgerlink-identity",
    "LedgerLink: identity",
    (
        _red("identity"),
        (
            "People",
            (
                Panel("Registrations", (_rate("ledgerlink_identity_registrations_total", "outcome", "identity"),)),
                Panel("Sign-ins", (_rate("ledgerlink_identity_sign_ins_total", "outcome", "identity"),)),
                Panel(
                    "Uses of refresh tokens",
                    (_rate("ledgerlink_identity_refreshes_total", "outcome", "identity"),),
                    meaning="reused: somebody came with a token that was already exchanged.",
                    idle="the demo refreshes no token",
                ),
                Panel("Mails", (_rate("ledgerlink_identity_mails_total", "purpose, outcome", "identity"),)),
            ),
        ),
        _invariants('{job="identity"}'),
        _events("identity", inbox=False),
        _house("identity"),
    ),
)
WALLET: Final = Dashboard(
    "ledgerlink-wallet",
    "LedgerLink: wallet",
    (_red("wallet"), _COMMITTER, _MONEY, _events("wallet", inbox=False), _house("wallet")),
)
PAYMENTS: Final = Dashboard(
    "ledgerlink-payments",
    "LedgerLink: payments",
    (
        _red("payments"),
        (
            "Payments",
            (
                Panel(
                    "Attempts by where they came to",
                    (_rate("ledgerlink_payments_attempts_total", "state", "payments"),),
                ),
                Panel(
                    "Refunds by where they came to", (_rate("ledgerlink_payments_refunds_total", "state", "payments"),)
                ),
                Panel(
                    "Payouts by where they came to", (_rate("ledgerlink_payments_payouts_total", "state", "payments"),)
                ),
                Panel(
                    "Webhooks of providers, by effect",
                    (_rate("ledgerlink_payments_provider_events_total", "outcome", "payments"),),
                ),
            ),
        ),
        (
            "Unfinished",
            (
                Panel("Rows with work to do", (Query("ledgerlink_payments_unfinished", "{{kind}}"),)),
                Panel("Most overdue", (Query("ledgerlink_payments_overdue_seconds", "{{kind}}"),), "s"),
                Panel("Taken up by the sweeper", (_rate("ledgerlink_payments_swept_total", "kind", "payments"),)),
                Panel("Attempts whose end nobody knows", (Query("ledgerlink_payments_unknown_attempts", "attempts"),)),
                Panel("Age of the oldest of them", (Query("ledgerlink_payments_unknown_oldest_seconds", "age"),), "s"),
            ),
        ),
        (
            "Webhooks to customers",
            (
                Panel(
                    "Tries",
                    (_rate("ledgerlink_payments_webhook_tries_total", "lane, outcome", "payments"),),
                    idle="nobody in the demo has a webhook endpoint",
                ),
                Panel(
                    "Endpoints given up",
                    (_rate("ledgerlink_payments_webhook_endpoints_disabled_total", "reason", "payments"),),
                    idle="nobody in the demo has a webhook endpoint",
                ),
            ),
        ),
        _invariants('{job="payments"}'),
        _events("payments", inbox=True),
        _house("payments"),
    ),
)
RISK: Final = Dashboard(
    "ledgerlink-risk",
    "LedgerLink: risk",
    (
        _red("risk"),
        (
            "Decisions",
            (
                Panel("Decisions by verdict", (_rate("ledgerlink_risk_decisions_total", "kind, verdict", "risk"),)),
                Panel("Time of a decision", _quantiles("ledgerlink_risk_decide_seconds", "risk"), "s"),
                Panel(
                    "Made without a part",
                    (_rate("ledgerlink_risk_degraded_total", "part", "risk"),),
                    idle=_NOTHING_AMISS,
                ),
                Panel(
                    "Cases resolved",
                    (_rate("ledgerlink_risk_cases_resolved_total", "resolution", "risk"),),
                    idle="nobody resolves a case in the demo",
                ),
            ),
        ),
        _invariants('{job="risk"}'),
        _events("risk", inbox=False),
        _house("risk"),
    ),
)
SANDBOX: Final = Dashboard(
    "ledgerlink-sandbox",
    "LedgerLink: sandbox",
    (
        _red("sandbox"),
        ("Provider", (Panel("Events sent", (_rate("sandbox_events_sent_total", "outcome", "sandbox"),)),)),
        _house("sandbox"),
    ),
)
INTEGRITY: Final = Dashboard(
    "ledgerlink-integrity",
    "LedgerLink: ledger integrity",
    (_invariants('{job="wallet"}'), _TREE, _COMMITTER, _invariants('{job=~"identity|payments|risk"}')),
)

DASHBOARDS: Final = (OVERVIEW, GATEWAY, IDENTITY, WALLET, PAYMENTS, RISK, SANDBOX, INTEGRITY)
