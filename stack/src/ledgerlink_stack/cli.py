"""`ledgerlink`: run LedgerLink on this machine."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from ledgerlink_stack import checks, logs, processes, report, throwaway
from ledgerlink_stack.demo.options import Access, add_arguments
from ledgerlink_stack.desk import Desk
from ledgerlink_stack.home import load_secrets, note_shown, supervisor_runs, trouble_with_files
from ledgerlink_stack.layout import (
    ADMIN_EMAIL,
    CLIENTS,
    DATABASES,
    SERVICES,
    choose_ports,
    scrape_targets,
    settings_of,
)
from ledgerlink_stack.plan import NURSERY, load_plan
from ledgerlink_stack.screen import Progress
from ledgerlink_stack.state import load_state
from ledgerlink_stack.trouble import Trouble
from ledgerlink_stack.up import bring_down, bring_up

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ledgerlink_stack.home import Secrets
    from ledgerlink_stack.layout import Ports
    from ledgerlink_stack.plan import Plan

DESCRIPTION = """\
Run LedgerLink on this machine: an embedded PostgreSQL and Redis, five services, their workers and a card
provider to play with, each a process of its own, looked after by one supervisor.

  ledgerlink up          start everything, or heal what is broken; safe to repeat
  ledgerlink status      what runs, since when, and how much memory it takes
  ledgerlink logs wallet what the wallet service says (-f follows)
  ledgerlink down        stop everything; data stays
  ledgerlink reset       throw all data away
  ledgerlink audit       read all of the ledger's books and prove that they are whole
"""
EPILOG = """\
Everything lies in .ledgerlink/ in the project, or where LEDGERLINK_HOME says. Every setting of every service
can be given in the environment, or for good in <home>/stack.env, one NAME=value a line:

  GATEWAY_PORT=9000 ledgerlink up                      another port
  WALLET_DATABASE_URL=postgresql://user:pw@host/db     a PostgreSQL of your own for the wallet service
  WALLET_REDIS_URL=redis://host:6379/0                 a Redis of your own (give it to all services)
  LEDGERLINK_POSTGRES_PORT, LEDGERLINK_REDIS_PORT      ports of the embedded servers
  LEDGERLINK_SERVER_USER                               account that PostgreSQL runs as when you are root
  OTEL_EXPORTER_OTLP_ENDPOINT=http://host:4318         a collector for the traces of all processes (docs/tracing.md)
  LEDGERLINK_NURSERY=off                               start each service by itself instead of by forking one that
                                                       has the libraries loaded (slower, more memory)

Exit codes: 0 done, 1 something on this machine is in the way (one sentence says what), 2 wrong usage.
"""


def up(desk: Desk, _arguments: argparse.Namespace) -> int:
    """Start everything that does not run, wait until it is ready, and say how to begin."""
    checks.check_python()
    checks.check_platform()
    checks.check_space(desk.home.path)
    plan, known, ports = desk.plan()
    progress = Progress(desk.console)
    with progress.shown():
        risen = bring_up(desk.home, plan, progress.show)
    if risen.already:
        desk.say(f"LedgerLink is already up: {ports.url('gateway')}")
    elif risen.healed:
        desk.say(f"LedgerLink is up again after {risen.seconds:.1f} s; started anew: {', '.join(risen.healed)}.")
    else:
        desk.say(f"LedgerLink is up after {risen.seconds:.1f} s.")
    if risen.changed_settings:
        desk.say("It still runs with the settings it was started with; `ledgerlink down` and `up` takes today's.")
    if not risen.already:
        _welcome(desk, known, ports)
    return 0


def _welcome(desk: Desk, known: Secrets, ports: Ports) -> None:
    """Print where things are; the admin's password only the first time."""
    gateway = ports.url("gateway")
    desk.say(f"\n  API     {gateway}      docs  {gateway}/docs")
    desk.say("  more    `ledgerlink status`, `ledgerlink logs <name> -f`, `ledgerlink down`")
    if not known.shown:
        desk.say(f"\n  admin   {ADMIN_EMAIL}   password  {escape(known.admin_password)}")
        desk.say(f"          shown this once; it stays in {desk.home.secrets_file}, readable by you only")
        note_shown(desk.home, known)
    desk.say("\n  Try it:")
    desk.say(
        f"    curl -s {gateway}/api/v1/auth/register -H 'Content-Type: application/json' \\\n"
        """      -d '{"email":"ada@example.com","password":"correct horse battery staple"}'\n"""
    )


def down(desk: Desk, _arguments: argparse.Namespace) -> int:
    """Stop everything, the gateway first and the databases last; data stays."""
    begun = time.monotonic()
    progress = Progress(desk.console)
    with progress.shown():
        stopped = bring_down(desk.home, progress.show)
    if stopped:
        desk.say(f"LedgerLink is down after {time.monotonic() - begun:.1f} s; data stays in {desk.home.path}.")
    else:
        desk.say("LedgerLink was not running.")
    return 0


def status(desk: Desk, arguments: argparse.Namespace) -> int:
    """Show every process; exit code 0 when all is up, 3 when not."""
    found = report.gather_status(desk.home, time.time())
    if arguments.json:
        print(json.dumps(found.as_json(), indent=2))
    elif not found.processes or found.state == "down":
        desk.say(f"LedgerLink is down ({desk.home.path}). `ledgerlink up` starts it.")
    else:
        desk.console.print(report.status_table(found))
        for line in found.processes:
            if line.reason:
                desk.say(f"{line.name} {escape(line.reason)}")
        desk.say(f"{report.MEASURES[found.memory_measure]}; home {desk.home.path}")
    return 0 if found.state == "up" else 3


def show_logs(desk: Desk, arguments: argparse.Namespace) -> int:
    """Print the last lines of one log or all, and follow them when asked."""
    known = sorted(file.stem for file in desk.home.logs.glob("*.log"))
    if arguments.name and arguments.name not in known:
        raise Trouble(
            f"There is no log of {arguments.name!r}.",
            f"There are: {', '.join(known)}." if known else "Nothing has run here yet; `ledgerlink up` starts it.",
        )
    names = [arguments.name] if arguments.name else known
    positions: dict[str, int] = {}
    for name in names:
        file = desk.home.log_of(name)
        positions[name] = file.stat().st_size
        for line in logs.tail(file, arguments.lines):
            print(line if arguments.name else f"{name:16} | {line}")
    while arguments.follow:
        for name in names:
            positions[name] = _print_new(desk.home.log_of(name), positions[name], "" if arguments.name else name)
        sys.stdout.flush()
        time.sleep(0.25)
    return 0


def _print_new(file: Path, position: int, label: str) -> int:
    """Print the whole lines after `position` and return where they end; a shorter file was rotated: begin anew."""
    with suppress(FileNotFoundError), file.open("rb") as content:
        start = position if file.stat().st_size >= position else 0
        content.seek(start)
        new = content.read()
        whole = new[: new.rfind(b"\n") + 1]
        for line in whole.decode(errors="replace").splitlines():
            print(f"{label:16} | {line}" if label else line)
        return start + len(whole)
    return position


def restart(desk: Desk, arguments: argparse.Namespace) -> int:
    """End one process in order; the supervisor starts it again, from today's code."""
    state, plan = load_state(desk.home.state_file), load_plan(desk.home.plan_file)
    program = plan.program(arguments.name) if plan and supervisor_runs(desk.home) else None
    if state is None or plan is None or program is None:
        raise Trouble(f"No process {arguments.name!r} is running.", "`ledgerlink status` lists what there is.")
    if program.module:
        # The nursery has yesterday's libraries loaded; its other children do not mind losing it.
        _end_and_return(desk, plan, NURSERY)
    _end_and_return(desk, plan, program.name)
    desk.say(f"{program.name} runs today's code.")
    return 0


def _end_and_return(desk: Desk, plan: Plan, name: str) -> None:
    """End a process and wait until the supervisor has started it again and everything is ready."""
    state, program = load_state(desk.home.state_file), plan.program(name)
    entry = state.process(name) if state else None
    process = processes.recorded(entry.identity) if entry else None
    if process is not None and program is not None:
        processes.end([process], signal.Signals(program.stop_signal), plan.stop_grace_s)
    bring_up(desk.home, plan, Progress(Console(quiet=True)).show)


def reset(desk: Desk, arguments: argparse.Namespace) -> int:
    """Stop everything and delete all data, secrets and logs, after asking."""
    home = desk.home
    data = home.server_data(desk.account) if home.path.exists() else home.path
    doomed = [home.path / name for name in ("postgres", "postgres.unfinished", "redis", "mail", "logs", "prometheus")]
    doomed += [home.secrets_file, home.plan_file, home.state_file, home.lock_file]
    if data != home.path:
        doomed.append(data)
    doomed = [path for path in doomed if path.exists()]
    doomed += sorted(home.path.glob("embedded-postgres-*"))
    if not doomed:
        desk.say(f"There is nothing to throw away in {home.path}.")
        return 0
    if not arguments.yes:
        desk.say(f"This deletes every user, wallet and payment in {home.path}, with passwords and logs.")
        if not sys.stdin.isatty():
            raise Trouble("Nobody is here to confirm.", "Say `ledgerlink reset --yes` if you mean it.")
        if desk.console.input("Type [bold]reset[/] to go on: ").strip() != "reset":
            desk.say("Nothing was deleted.")
            return 1
    bring_down(home, Progress(desk.console).show)
    with trouble_with_files(home.path):
        for path in doomed:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    desk.say("All data is gone. `ledgerlink up` starts empty, with a new admin's password.")
    return 0


def doctor(desk: Desk, arguments: argparse.Namespace) -> int:
    """Look at everything that `up` depends on and say what is in the way; exit code 0 when nothing is."""
    findings = report.examine(desk.home, desk.account, lambda: desk.plan()[0])
    if arguments.json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        desk.console.print(report.doctor_table(findings))
    return 0 if all(finding.ok for finding in findings) else 1


SECRET_NAMES = ("PASSWORD", "SECRET", "KEY", "CLIENTS", "DATABASE_URL", "REDIS_URL")


def env(desk: Desk, arguments: argparse.Namespace) -> int:
    """Print the settings of all services, secrets masked, or one of them whole, or write all to a file for tools."""
    desk.home.create()
    known = load_secrets(desk.home, DATABASES, CLIENTS)
    ports = choose_ports(desk.given)
    values = {
        "LEDGERLINK_URL": ports.url("gateway"),
        "LEDGERLINK_ADMIN_EMAIL": ADMIN_EMAIL,
        "LEDGERLINK_ADMIN_PASSWORD": known.admin_password,
    }
    for service in SERVICES:
        values.update(settings_of(service, desk.home, known, ports, desk.given))
    if arguments.name:
        if arguments.name not in values:
            raise Trouble(f"No setting is called {arguments.name}.", "`ledgerlink env` lists them.")
        print(values[arguments.name])
        return 0
    if arguments.write:
        file = Path(arguments.write)
        with trouble_with_files(file.absolute().parent):
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w") as out:
                out.writelines(f"{name}='{value}'\n" for name, value in values.items())
        desk.say(f"{len(values)} settings written to {file}, readable by you only.")
        return 0
    for name, value in values.items():
        hidden = not arguments.reveal and any(part in name for part in SECRET_NAMES)
        print(f"{name}={'********' if hidden else value}")
    return 0


def targets(desk: Desk, _arguments: argparse.Namespace) -> int:
    """Print where Prometheus finds the stack's metrics, as its file-based discovery reads it."""
    print(json.dumps(scrape_targets(choose_ports(desk.given)), indent=1))
    return 0


def demo(desk: Desk, arguments: argparse.Namespace) -> int:
    """Replay a month of real card purchases through the gateway and prove the books."""
    if arguments.json:
        desk.console = Console(stderr=True)
    up(desk, arguments)
    _, known, ports = desk.plan()
    # The demo's people have passwords derived from the admin's: a second run can log in, a stranger cannot.
    access = Access(
        ports.url("gateway"), ADMIN_EMAIL, known.admin_password, known.admin_password, desk.home.path / "books"
    )
    from ledgerlink_stack.demo.command import run  # noqa: PLC0415 - only this verb pays for an HTTP client

    return run(arguments, access, Console())


def trace(desk: Desk, arguments: argparse.Namespace) -> int:
    """Make a card payment and show its trace: every process, statement and event, as a tree with times."""
    from ledgerlink_stack.traces.command import DEFAULT_ENDPOINT, ENDPOINT, run  # noqa: PLC0415 - it loads protobuf

    if supervisor_runs(desk.home):
        plan = load_plan(desk.home.plan_file)
        gateway = plan.program("gateway") if plan else None
        endpoint = gateway.environment.get(ENDPOINT, "") if gateway else ""
        if not endpoint:
            raise Trouble(
                "The stack was started without traces.",
                "`ledgerlink down`; then `ledgerlink trace` starts it with them.",
            )
    else:
        endpoint = desk.given.setdefault(ENDPOINT, DEFAULT_ENDPOINT)
        up(desk, arguments)
    print(run(choose_ports(desk.given).url("gateway"), endpoint, declined=arguments.declined))
    return 0


def audit(desk: Desk, arguments: argparse.Namespace) -> int:
    """Read the wallet's whole database and say whether the books are whole, or where they are not."""
    from ledgerlink_stack import audit as auditing  # noqa: PLC0415 - only this verb pays for the wallet's queries

    url, local = arguments.database_url, None
    if not url:
        if not desk.home.secrets_file.exists():
            raise Trouble("There is no stack here.", "Start one with `ledgerlink up`, or give --database-url.")
        known = load_secrets(desk.home, DATABASES, CLIENTS)
        service = next(service for service in SERVICES if service.name == "wallet")
        settings = settings_of(service, desk.home, known, choose_ports(desk.given), desk.given)
        url = settings["WALLET_DATABASE_URL"]
        local = auditing.key_from_seed(settings["WALLET_CHECKPOINT_ORIGIN"], settings["WALLET_CHECKPOINT_KEY"])
    return auditing.run(arguments, url, auditing.key_of(arguments.key, local), desk.console)


def verify_receipt(desk: Desk, arguments: argparse.Namespace) -> int:
    """Verify a transfer's receipt offline: its place in the ledger and the ledger's signature."""
    from ledgerlink_stack import proofs  # noqa: PLC0415 - only this verb pays for the contracts

    return proofs.receipt(arguments, desk.console)


def verify_consistency(desk: Desk, arguments: argparse.Namespace) -> int:
    """Verify offline that a later checkpoint of the ledger goes on from an earlier one."""
    from ledgerlink_stack import proofs  # noqa: PLC0415 - only this verb pays for the contracts

    return proofs.consistency(arguments, desk.console)


def import_file(desk: Desk, arguments: argparse.Namespace) -> int:
    """Import transfers from a file of lines of JSON into the running stack."""
    _, known, ports = desk.plan()
    from ledgerlink_stack.importing import Door, run  # noqa: PLC0415 - only this verb pays for an HTTP client

    return run(arguments, Door(ports.url("gateway"), ADMIN_EMAIL, known.admin_password))


def serve_tests(desk: Desk, _arguments: argparse.Namespace) -> int:
    """Keep a throw-away PostgreSQL and Valkey running for repeated test runs, until Ctrl-C."""
    folder = Path(tempfile.mkdtemp(prefix="ledgerlink-test-"))

    def announce(answer: Mapping[str, str]) -> None:
        desk.say("In the shell where you test:")
        desk.say(f"  export LEDGERLINK_TEST_POSTGRES={answer['postgres']}")
        desk.say(f"  export LEDGERLINK_TEST_REDIS={answer['redis']}")
        desk.say("Ctrl-C ends both and forgets their data.")

    throwaway.run(folder, os.getpid(), announce)
    return 0


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    result = argparse.ArgumentParser(
        prog="ledgerlink",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = result.add_subparsers(title="verbs", metavar="<verb>", required=True)

    def verb(name: str, action: Callable[[Desk, argparse.Namespace], int], more: str = "") -> argparse.ArgumentParser:
        summary = (action.__doc__ or "").strip()
        entry = verbs.add_parser(
            name,
            help=summary[0].lower() + summary[1:].rstrip("."),
            description=f"{summary}\n{more}".rstrip(),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        entry.set_defaults(action=action)
        return entry

    verb("up", up, "\nRepeating it is safe: what runs is left alone, what died is started again.")
    verb("down", down, "\nServices finish the requests they have; after that, and a patient wait, they are killed.")
    state = verb(
        "status", status, "\nMemory is PSS where the system tells it, so that shared pages are not counted twice."
    )
    state.add_argument("--json", action="store_true", help="for programs")
    log = verb("logs", show_logs)
    log.add_argument("name", nargs="?", help="a process as `status` names it; all when left out")
    log.add_argument("-f", "--follow", action="store_true", help="go on printing what comes")
    log.add_argument("-n", "--lines", type=int, default=40, help="how many lines to begin with (40)")
    again = verb(
        "restart", restart, "\nFor developers: takes up changed code of a service and of the libraries below it."
    )
    again.add_argument("name", help="a process as `status` names it")
    gone = verb("reset", reset)
    gone.add_argument("--yes", action="store_true", help="do not ask")
    health = verb("doctor", doctor)
    health.add_argument("--json", action="store_true", help="for programs")
    settings = verb("env", env)
    settings.add_argument("name", nargs="?", help="print the value of this setting alone, also of a secret")
    settings.add_argument("--reveal", action="store_true", help="print secrets too")
    settings.add_argument("--write", metavar="FILE", help="write everything, secrets too, to FILE (0600)")
    verb(
        "targets",
        targets,
        "\nFor deploy/observability/prometheus/prometheus.yml; `make prometheus` runs one with them.",
    )
    replay = verb("demo", demo, "\nRun twice it changes nothing; killed in the middle and run again it goes on.")
    add_arguments(replay)
    seen = verb(
        "trace", trace, "\nA stack that is down is started with OTEL_EXPORTER_OTLP_ENDPOINT set (docs/tracing.md)."
    )
    seen.add_argument("--declined", action="store_true", help="with a card that is declined")
    _add_ledger_verbs(verb)
    verb("test-servers", serve_tests)
    return result


def _add_ledger_verbs(verb: Callable[..., argparse.ArgumentParser]) -> None:
    """Describe the verbs that are about the ledger: audit it, verify what it has signed, fill it."""
    books = verb(
        "audit",
        audit,
        "\nLooks at the local stack's wallet, or at any wallet's database. It reads one moment and locks nothing."
        "\nExit codes: 0 the books are whole, 1 they are not (the first differences are named) or could not be read.",
    )
    books.add_argument("--database-url", metavar="URL", help="postgresql://user:password@host:port/database")
    books.add_argument("--key", metavar="VKEY", help="the ledger's verifier key, for the checkpoints' signatures")
    books.add_argument(
        "--check",
        action="append",
        metavar="NAME",
        help="this check alone; may be given several times, and a name that is none lists them",
    )
    books.add_argument("--json", action="store_true", help="for programs")
    proof_codes = "\nExit codes: 0 proven, 1 not proven, 2 nothing to verify (no such file, no receipt, no key)."
    proof = verb("verify-receipt", verify_receipt, proof_codes)
    proof.add_argument("file", help="what GET /transfers/{id}/receipt answered; - reads standard input")
    passage = verb("verify-consistency", verify_consistency, proof_codes)
    passage.add_argument("file", help="what GET /checkpoints/consistency answered; - reads standard input")
    passage.add_argument("--kept", metavar="FILE", help="the older checkpoint as you kept it: a note, or its JSON")
    for checker in (proof, passage):
        checker.add_argument(
            "--key", metavar="VKEY|FILE", help="the verifier key to believe; without it the one that the file names"
        )
        checker.add_argument("--json", action="store_true", help="for programs")
    lines = verb(
        "import",
        import_file,
        "\nOne transfer order a line (NDJSON, also gzipped). A broken connection is waited out. The same file under"
        "\nthe same label is the same import: run again it goes on where it stands, or changes nothing; a pipe goes on"
        "\nwith --resume."
        "\nExit code 1: lines were not posted, 2: unusable input.",
    )
    lines.add_argument("file", help="the file, or - for the standard input")
    lines.add_argument("--label", help="a name for the import, up to 500 characters")
    lines.add_argument("--resume", metavar="IMPORT", help="the import (imp_…) to go on with")
    lines.add_argument("--json", action="store_true", help="for programs")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    chosen = parser().parse_args(arguments)
    console = Console()
    try:
        return int(chosen.action(Desk(os.environ, Path.cwd(), console), chosen))
    except Trouble as trouble:
        complaint = Console(stderr=True)
        complaint.print(escape(trouble.sentence), style="bold red", highlight=False, soft_wrap=True)
        complaint.print(escape(trouble.advice), highlight=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        console.print("Interrupted; what is running goes on running.", highlight=False)
        return 130
    except BrokenPipeError:
        # The reader (`| head`) has seen enough. Give the interpreter something to close that still exists.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


if __name__ == "__main__":
    sys.exit(main())
