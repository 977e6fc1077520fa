#!/bin/sh
# Makes tools/site/.venv from tools/site/requirements.lock (hashes required). Does nothing when it is up to date.
# The product's own environment, which `make bootstrap` makes, knows nothing of it.
set -eu
cd "$(dirname "$0")/../.."
VENV=tools/site/.venv
LOCK=tools/site/requirements.lock
STAMP=$VENV/.ledgerlink-stamp
if [ -f "$STAMP" ] && cmp -s "$LOCK" "$STAMP" && "$VENV/bin/python" -c '' 2>/dev/null; then exit 0; fi
printf 'docs: %s packages from %s\n' "$(grep -c '^[a-z].*==' "$LOCK")" "$LOCK"
[ -x "$VENV/bin/python" ] || .venv/bin/python -m venv "$VENV"
rm -f "$STAMP"
VIRTUAL_ENV="$PWD/$VENV" .venv/bin/uv pip sync --quiet --require-hashes "$LOCK"
cp "$LOCK" "$STAMP"
