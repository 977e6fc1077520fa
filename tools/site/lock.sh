#!/bin/sh
# Writes tools/site/requirements.lock from requirements.in: hashes of every wheel, no address.
set -eu
cd "$(dirname "$0")"
work=$(mktemp)
trap 'rm -f "$work"' EXIT
../../.venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
    --output-file "$work" requirements.in >/dev/null
{
    echo "# What builds the documentation site, with hashes. Written by \`make docs-lock\`; do not edit."
    grep -v '^#\|^--' "$work"
} >requirements.lock
