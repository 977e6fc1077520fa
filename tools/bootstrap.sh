#!/bin/sh
# Makes .venv: a Python of at least 3.11, every package of requirements.lock (hashes required), the workspace's own
# members editable. Does nothing when the stamp inside .venv still matches the lock and the pyproject files.
set -eu
cd "$(dirname "$0")/.."

say() { printf '%s\n' "$*"; }
fail() {
    printf 'bootstrap: %s\n' "$*" >&2
    exit 1
}

MEMBERS="libs/kit libs/contracts services/gateway services/identity services/wallet services/payments services/risk
services/sandbox stack tools/tidy"

inputs() {
    cat requirements.lock pyproject.toml tools/bootstrap.sh
    for member in $MEMBERS; do cat "$member/pyproject.toml"; done
    pwd # editable installs name the folder: a moved checkout is made anew
}

fingerprint() {
    if command -v sha256sum >/dev/null 2>&1; then inputs | sha256sum; else inputs | shasum -a 256; fi | cut -d' ' -f1
}

# A program that is a working CPython >= 3.11 (a name on PATH may be a shim that leads nowhere, so it is tried).
fits() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

find_python() {
    for name in ${PYTHON:-} python3.13 python3.12 python3.11 python3.14 python3 python; do
        if command -v "$name" >/dev/null 2>&1 && fits "$name"; then
            command -v "$name"
            return
        fi
    done
    seen=$( (python3 --version || python --version) 2>/dev/null || true)
    fail "LedgerLink needs Python 3.11 or newer; found ${seen:-no Python}. Install one, or name it: make bootstrap PYTHON=/path/to/python3.11"
}

STAMP=.venv/.ledgerlink-stamp
want=$(fingerprint)
if [ -f "$STAMP" ] && [ "$(cat "$STAMP")" = "$want" ] && [ -x .venv/bin/python ] && .venv/bin/python -c '' 2>/dev/null; then
    exit 0
fi

if ! { [ -x .venv/bin/python ] && fits .venv/bin/python; }; then
    python=$(find_python)
    say "bootstrap: $("$python" --version) makes .venv"
    rm -rf .venv
    "$python" -m venv .venv ||
        fail "this Python cannot make virtual environments; on Debian and Ubuntu install the package python3-venv"
fi
rm -f "$STAMP"

# pip installs only uv, at the lock's own version and hashes; uv installs the rest, in parallel.
pin=$(sed -n 's/^uv==\([^ ;]*\).*/\1/p' requirements.lock)
[ -n "$pin" ] || fail "requirements.lock does not name uv; run 'make lock' on a machine that has uv"
if [ "$(.venv/bin/uv --version 2>/dev/null | cut -d' ' -f2)" != "$pin" ]; then
    say "bootstrap: uv $pin"
    .venv/bin/python -m pip --version >/dev/null 2>&1 || .venv/bin/python -m ensurepip >/dev/null
    sed -n '/^uv==/,/^[^ ]/{/^uv==/p;/^ /p;}' requirements.lock >.venv/uv-pin.txt
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement .venv/uv-pin.txt ||
        fail "uv could not be installed from this machine's package index, see above"
fi

say "bootstrap: $(grep -c '^[a-z].*==' requirements.lock) packages from requirements.lock"
export VIRTUAL_ENV="$PWD/.venv"
.venv/bin/uv pip install --quiet --require-hashes --requirement requirements.lock ||
    fail "the packages could not be installed, see above"
editable=""
for member in $MEMBERS; do editable="$editable --editable $member"; done
# shellcheck disable=SC2086  # the list is meant to fall into words
.venv/bin/uv pip install --quiet --no-deps --no-build-isolation $editable ||
    fail "the workspace's own packages could not be installed, see above"
# hatchling copies what a wheel is forced to include (migrations) even for an editable install, where the copy would only
# grow stale: the ones beside src are read.
for copy in .venv/lib/python*/site-packages/ledgerlink_*; do
    case $copy in *.dist-info) ;; *) rm -rf "$copy" ;; esac
done
printf '%s\n' "$want" >"$STAMP"
say "bootstrap: done"
