"""What `compose.yaml` needs from outside of it: the secrets, as files, and who the containers run as.

The secrets are those of the local stack (`home.Secrets`), made once by the same generator and kept in a folder of their
own: one file each, mode 0600, since a container is given a file and not a document to pick from.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING
from urllib.parse import quote

from ledgerlink_stack.home import PRIVATE_FILE, Home, Secrets, load_secrets, trouble_with_files
from ledgerlink_stack.layout import CLIENTS, DATABASES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# The account of the image. Root's containers run as it; everybody else's run as who starts them.
IMAGE_ACCOUNT = 10001
CORE, OBSERVABILITY = "core", "observability"
TRACES = "http://otel-collector:4318"
# Redis may lose everything (ADR 6), so it writes nothing.
REDIS_CONFIGURATION = 'save ""\nappendonly no\ndir /data\nmaxmemory 256mb\nrequirepass {password}\n'


def secret_files(known: Secrets) -> dict[str, str]:
    """Return every secret of `compose.yaml` by its name there."""
    files = {
        "postgres_password": known.postgres,
        "postgres_admin_url": f"postgresql://postgres:{known.postgres}@postgres:5432/postgres",
        "redis_url": f"redis://:{quote(known.redis, safe='')}@redis:6379/0",
        "redis_conf": REDIS_CONFIGURATION.format(password=known.redis),
        "service_clients": json.dumps(known.clients, sort_keys=True),
        "admin_password": known.admin_password,
        "grafana_admin_password": known.admin_password,
        "key_encryption_key": known.key_encryption_key,
        "checkpoint_key": known.checkpoint_key,
        # Each installation is a log of its own, and a log's name says which one it is.
        "checkpoint_origin": f"ledgerlink.local/{known.stack_id}",
        "sandbox_api_key": known.sandbox_api_key,
        "sandbox_webhook_secret": known.sandbox_webhook_secret,
    }
    for name, password in known.databases.items():
        files[f"{name}_database_url"] = f"postgresql://{name}:{quote(password, safe='')}@postgres:5432/{name}"
    for name, secret in known.clients.items():
        files[f"{name}_client_secret"] = secret
    return files


def write_secrets(folder: Path) -> Secrets:
    """Make what is missing in `folder` and return all of it; what is there is kept.

    Each file is replaced in one step, so a run that was interrupted is mended by the next. Raises `Trouble` when the
    folder may not be written, or when its `secrets.json` is damaged: new secrets would lock the databases for good.
    """
    with trouble_with_files(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        known = load_secrets(Home(folder), DATABASES, CLIENTS)
        for name, content in secret_files(known).items():
            _write(folder / name, content)
    return known


def _write(file: Path, content: str) -> None:
    """Put `content` into `file`, for whom the containers run as and nobody else."""
    unfinished = file.with_name(f".{file.name}.{os.getpid()}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE_FILE)
    try:
        with os.fdopen(descriptor, "w") as out:
            out.write(content)
        if os.geteuid() == 0:
            os.chown(unfinished, IMAGE_ACCOUNT, IMAGE_ACCOUNT)
        unfinished.replace(file)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def environment(folder: Path, profiles: str, revision: str, given: Mapping[str, str]) -> dict[str, str]:
    """Return what `compose.yaml` leaves open, with what the operator gives on top.

    `profiles` are compose's, by comma; traces are sent when one of them is there to receive them.
    """
    uid, gid = os.geteuid(), os.getegid()
    return {
        "COMPOSE_PROFILES": profiles,
        "LEDGERLINK_SECRETS": str(folder),
        "LEDGERLINK_UID": str(uid or IMAGE_ACCOUNT),
        "LEDGERLINK_GID": str(gid if uid else IMAGE_ACCOUNT),
        "LEDGERLINK_REVISION": revision,
        "LEDGERLINK_OTLP_ENDPOINT": TRACES if OBSERVABILITY in profiles.split(",") else "",
        **given,
    }
