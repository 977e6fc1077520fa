"""Databases of services as tasks that end: made by an administrator, migrated ahead of a release.

    python -m ledgerlink_kit.database_tasks create wallet risk    POSTGRES_ADMIN_URL and each one's WALLET_DATABASE_URL
    python -m ledgerlink_kit.database_tasks migrate wallet        WALLET_DATABASE_URL

Every variable may name a file instead (`WALLET_DATABASE_URL_FILE`). Both may be repeated, and run twice at once.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Final

import psycopg
from pydantic_settings.exceptions import SettingsError
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, OperationalError

from ledgerlink_kit.databases import create_databases
from ledgerlink_kit.errors import Defect
from ledgerlink_kit.migrations import upgrade
from ledgerlink_kit.settings import from_file

ADMIN: Final = "POSTGRES_ADMIN_URL"


def variable(environment: Mapping[str, str], name: str) -> str:
    """Give a variable's value, or what its file holds. Raises `SettingsError` when there is neither."""
    value = from_file(environment, name) or environment.get(name)
    if not value:
        raise SettingsError(f"Set {name}, or {name}_FILE to a file that holds it.")
    return value


def own_password(service: str, url: str) -> str:
    """Give the password in ``service``'s own address of its own database.

    Raises `SettingsError` when role or database are called otherwise: `create` would then make what nobody uses.
    """
    try:
        parts = make_url(url)
    except ArgumentError:
        parts = None
    if parts is None or (parts.username, parts.database) != (service, service) or not parts.password:
        form = f"postgresql://{service}:PASSWORD@HOST:PORT/{service}"
        raise SettingsError(f"{service.upper()}_DATABASE_URL must have the form {form}.")
    return str(parts.password)


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> str | None:
    """Do what ``arguments`` say; gives what is wrong, in a sentence, or None."""
    if len(arguments) < 2 or arguments[0] not in {"create", "migrate"}:
        return "usage: python -m ledgerlink_kit.database_tasks create|migrate SERVICE..."
    verb, *services = arguments
    try:
        urls = {name: variable(environment, f"{name.upper()}_DATABASE_URL") for name in services}
        if verb == "create":
            passwords = {name: own_password(name, url) for name, url in urls.items()}
            create_databases(variable(environment, ADMIN), passwords)
        else:
            for name, url in urls.items():
                upgrade(f"ledgerlink_{name}", url)
    except SettingsError as error:
        return str(error)
    except Defect as error:
        return error.detail
    except (psycopg.Error, OperationalError) as error:
        cause = error.orig if isinstance(error, OperationalError) else error
        return f"PostgreSQL refused: {str(cause).strip().splitlines()[-1]}"
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
