"""`make compose-up`, `compose-down`, `compose-check`: LedgerLink in containers, by `docker compose`.

``python tools/compose.py up``       make the secrets once, build the image, start everything, wait until it is ready
``python tools/compose.py down``     stop everything and keep the data (``--data`` throws it and the secrets away)
``python tools/compose.py check``    with a project, secrets and ports of its own: build, start, Newman, sizes, down;
                                     ``--profiles core,observability``: also who is scraped, traced and shown
``python tools/compose.py secrets``  only make the secrets
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import e2e
import httpx

from ledgerlink_stack.containers import CORE, OBSERVABILITY, environment, secret_files, write_secrets
from ledgerlink_stack.home import Secrets
from ledgerlink_stack.layout import ADMIN_EMAIL
from ledgerlink_stack.trouble import Trouble

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".ledgerlink" / "compose"
CHECK_FOLDER = ROOT / ".ledgerlink" / "compose-check"
IMAGE = "ledgerlink:local"
TARGETS = ROOT / "deploy" / "observability" / "prometheus" / "targets" / "compose.json"
DASHBOARDS = ROOT / "deploy" / "observability" / "grafana" / "dashboards"
WAIT_S = 300
# Beside a project that is up: its own name, ports and network.
CHECK = {
    "COMPOSE_PROJECT_NAME": "ledgerlink-check",
    "GATEWAY_PORT": "18080",
    "MAIL_PORT": "18025",
    "GRAFANA_PORT": "13000",
    "JAEGER_PORT": "26686",
    "LEDGERLINK_SUBNET": "10.203.114.0/24",
}
TRACED = {"gateway", "identity", "wallet", "payments", "risk", "sandbox"}
SEEN_S = 60


def revision() -> str:
    """The commit that the image is built from, or `unknown` outside of a checkout."""
    try:
        done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "unknown"
    return done.stdout.strip() or "unknown"


def docker_is_there() -> bool:
    """Whether `docker compose` can be called and reaches an engine."""
    try:
        done = subprocess.run(["docker", "compose", "ls", "--quiet"], cwd=ROOT, capture_output=True, check=False)
    except FileNotFoundError:
        return False
    return done.returncode == 0


def compose(arguments: Sequence[str], known: Mapping[str, str]) -> int:
    """Run `docker compose`; gives its exit code."""
    return subprocess.run(["docker", "compose", *arguments], cwd=ROOT, env=dict(known), check=False).returncode


def up(known: Mapping[str, str]) -> int:
    """Build the image and start what is not up to date; returns when all of it is ready, or shows what is not."""
    code = compose(["build"], known) or compose(["up", "-d", "--wait", "--wait-timeout", str(WAIT_S)], known)
    if code:
        compose(["ps", "--all"], known)
        compose(["logs", "--tail", "15"], known)
    return code


def image_size() -> str:
    """The size of our image, as the engine counts it."""
    command = ["docker", "image", "inspect", "--format", "{{.Size}}", IMAGE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    text = done.stdout.strip()
    return f"{int(text) / 1e6:.0f} MB" if text.isdigit() else "of unknown size"


def newman(port: str, known: Secrets) -> list[str]:
    """Run every Postman collection through the gateway at ``port``; gives the names of those that failed."""
    e2e.install_newman()
    settings = {"LEDGERLINK_ADMIN_EMAIL": ADMIN_EMAIL, "LEDGERLINK_ADMIN_PASSWORD": known.admin_password}
    # Only the gateway is published; the other ports are in the environment file and go unused on this way.
    settings |= {f"{name}_PORT": port for name in ("GATEWAY", "IDENTITY", "WALLET", "PAYMENTS", "RISK")}
    return [path.name for path in e2e.collections([]) if not e2e.run(path, "gateway", settings)]


def scraped(settings: Mapping[str, str]) -> str:
    """Ask Prometheus, inside its container since it is not published; gives what is wrong with its targets."""
    command = ["docker", "compose", "exec", "-T", "prometheus", "wget", "-qO-"]
    command.append("http://127.0.0.1:9090/api/v1/targets?state=active")
    done = subprocess.run(command, cwd=ROOT, env=dict(settings), capture_output=True, text=True, check=False)
    if done.returncode:
        return f"Prometheus does not answer: {done.stderr.strip()}"
    return unscraped(json.loads(done.stdout))


def unscraped(answer: Any) -> str:
    """Give what is wrong with the targets in an answer of Prometheus."""
    targets = answer["data"]["activeTargets"]
    wanted = sum(len(group["targets"]) for group in json.loads(TARGETS.read_text()))
    down = [f"{each['labels']['instance']}: {each['lastError']}" for each in targets if each["health"] != "up"]
    if len(targets) != wanted or down:
        return f"Prometheus has {len(targets)} targets of {wanted}; not up: {', '.join(down) or 'none'}"
    return ""


def traced(settings: Mapping[str, str]) -> str:
    """Ask Jaeger for whom it has traces; gives who is missing."""
    with httpx.Client(trust_env=False, timeout=10) as client:
        answer = client.get(f"http://127.0.0.1:{settings['JAEGER_PORT']}/api/services").raise_for_status().json()
    missing = TRACED - set(answer["data"] or [])
    return f"Jaeger has no traces of {', '.join(sorted(missing))}" if missing else ""


def shown(settings: Mapping[str, str], password: str) -> str:
    """Ask Grafana for its dashboards; gives which it did not load."""
    with httpx.Client(trust_env=False, timeout=10, auth=("admin", password)) as client:
        answer = client.get(f"http://127.0.0.1:{settings['GRAFANA_PORT']}/api/search", params={"type": "dash-db"})
    loaded = {each["uid"] for each in answer.raise_for_status().json()}
    missing = {file.stem for file in DASHBOARDS.glob("*.json")} - loaded
    return f"Grafana has not loaded {', '.join(sorted(missing))}" if missing else ""


def unseen(settings: Mapping[str, str], known: Secrets) -> list[str]:
    """Give what of the running stack is not watched; spans and scrapes are given a minute to arrive."""
    until = time.monotonic() + SEEN_S
    while True:
        try:
            found = [scraped(settings), traced(settings), shown(settings, known.admin_password)]
        except (httpx.HTTPError, ValueError, KeyError) as error:
            found = [f"{type(error).__name__}: {error}"]
        found = [each for each in found if each]
        if not found or time.monotonic() > until:
            return found
        time.sleep(2)


def check(profiles: str) -> int:
    """Prove the image and compose.yaml from nothing, then leave nothing behind but the image."""
    known = write_secrets(CHECK_FOLDER)
    settings = environment(CHECK_FOLDER, profiles, revision(), {**os.environ, **CHECK})
    started = time.monotonic()
    try:
        if up(settings):
            return 1
        print(f"compose-check: built and ready after {time.monotonic() - started:.0f} s", flush=True)
        failed = newman(CHECK["GATEWAY_PORT"], known)
        dark = unseen(settings, known) if OBSERVABILITY in profiles.split(",") else []
    finally:
        compose(["down", "--volumes", "--timeout", "30"], settings)
        shutil.rmtree(CHECK_FOLDER)
    print(f"\ncompose-check: the image is {image_size()}; collections that failed: {', '.join(failed) or 'none'}")
    if OBSERVABILITY in profiles.split(","):
        print(f"compose-check: not scraped, traced or shown: {'; '.join(dark) or 'nothing'}")
    return 1 if failed or dark else 0


def start(profiles: str) -> int:
    """Start what ``profiles`` name and say where it answers."""
    write_secrets(FOLDER)
    settings = environment(FOLDER, profiles, revision(), os.environ)
    code = up(settings)
    if not code:
        print(f"LedgerLink answers at http://localhost:{settings.get('GATEWAY_PORT') or '8080'}")
        print(f"{ADMIN_EMAIL} has the password in {(FOLDER / 'admin_password').relative_to(ROOT)}")
    return code


def stop(*, with_data: bool) -> int:
    """Stop the containers of every profile."""
    settings = environment(FOLDER, f"{CORE},{OBSERVABILITY}", revision(), os.environ)
    settings["COMPOSE_PROFILES"] = f"{CORE},{OBSERVABILITY}"
    code = compose(["down", *(["--volumes"] if with_data else [])], settings)
    if with_data and not code:
        shutil.rmtree(FOLDER, ignore_errors=True)
    return code


def main() -> int:
    """Do what was asked for; the exit code says whether it worked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=("up", "down", "check", "secrets"))
    parser.add_argument("--profiles", default=CORE, help=f"{CORE}, or {CORE},{OBSERVABILITY}")
    parser.add_argument("--data", action="store_true", help="down: throw the data and the secrets away")
    options = parser.parse_args()
    try:
        if options.verb == "secrets":
            print(f"{len(secret_files(write_secrets(FOLDER)))} secrets in {FOLDER.relative_to(ROOT)}")
            return 0
        if not docker_is_there():
            print("This needs a running Docker with its compose plugin; `make up` does the same without containers.")
            return 1
        if options.verb == "check":
            return check(options.profiles)
        return start(options.profiles) if options.verb == "up" else stop(with_data=options.data)
    except Trouble as trouble:
        print(trouble)
        return 1


if __name__ == "__main__":
    sys.exit(main())
