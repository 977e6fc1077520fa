#!/bin/sh
# Build stage: makes a virtual environment at $1 with the services and exactly what they need at run time.
#
# uv works out which packages those are, by the versions of requirements.lock, and installs them with the hashes of
# requirements.lock required: a package or a version that the lock does not name stops the build.
set -eu
target=$1
uv=/tools/bin/uv
members="libs/kit libs/contracts services/gateway services/identity services/wallet services/payments services/risk
services/sandbox"

# pick NAME ARGUMENTS...: /tmp/NAME.txt gets the lock's versions of what /tmp/NAME.in asks for
pick() {
    name=$1
    shift
    "$uv" pip compile --quiet --no-header --no-annotate --no-cache --constraint requirements.lock "$@" \
        --output-file "/tmp/$name.txt" "/tmp/$name.in"
}

# install PYTHON NAME ARGUMENTS...: what was picked, if its hashes are those of the lock
install() {
    python=$1
    name=$2
    shift 2
    "$uv" pip install --quiet --python "$python" --require-hashes --constraint requirements.lock --no-cache "$@" \
        --requirement "/tmp/$name.txt"
}

# hatchling, from the lock as well, makes wheels of the workspace's members; migrations travel inside them.
echo hatchling >/tmp/hatchling.in
pick hatchling
install /tools/bin/python hatchling
for member in $members; do
    (cd "$member" && /tools/bin/python -m hatchling build --target wheel --directory /tmp/wheels)
done

# Named by their files: no index is ever asked for a package with one of our names.
own=""
for member in $members; do own="$own --no-emit-package ledgerlink-${member##*/}"; done
ls /tmp/wheels/*.whl >/tmp/runtime.in
# shellcheck disable=SC2086  # the list is meant to fall into words
pick runtime $own
"$uv" venv --quiet --python "$(command -v python)" "$target"
install "$target/bin/python" runtime --compile-bytecode
"$uv" pip install --quiet --python "$target/bin/python" --no-deps --no-index --no-cache --compile-bytecode \
    /tmp/wheels/*.whl
