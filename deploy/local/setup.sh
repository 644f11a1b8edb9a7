#!/bin/sh
# Makes the virtual environment and installs a hashed lock file into it, once.
# Usage: setup.sh VENV requirements.lock|requirements-dev.lock
set -eu
venv=$1
lock=$2
cd "$(dirname "$0")/../.."

fail() {
    printf '\n%s\n' "$1" >&2
    exit 1
}

find_python() {
    for candidate in ${PYTHON:-} python3.13 python3.12 python3.11 python3.14 python3 python; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
}

create_environment() {
    "$venv/bin/python" -m pip --version >/dev/null 2>&1 && return
    python=$(find_python)
    [ -n "$python" ] || fail "Python 3.11 or newer is needed and none was found on the PATH.
Install one, or name it: make PYTHON=/path/to/python3.12 …"
    "$python" -c 'import ensurepip, venv' 2>/dev/null || fail "$python has no ensurepip, so it cannot make a virtual environment.
On Debian and Ubuntu: apt install python3-venv"
    # A half-made environment of an interrupted run is no use.
    rm -rf "$venv"
    "$python" -m venv "$venv" || fail "Could not make the virtual environment in $venv (see above)."
}

# uv does not read pip's settings; a machine that has a mirror has it there.
use_configured_index() {
    index=${PIP_INDEX_URL:-$("$venv/bin/python" -m pip config get global.index-url 2>/dev/null || true)}
    if [ -n "$index" ] && [ -z "${UV_DEFAULT_INDEX:-}" ]; then
        export UV_DEFAULT_INDEX="$index"
    fi
    export UV_SYSTEM_CERTS="${UV_SYSTEM_CERTS:-true}" UV_NO_CONFIG=1 UV_LINK_MODE="${UV_LINK_MODE:-copy}"
}

install() {
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes \
        --requirement requirements-bootstrap.lock &&
        "$venv/bin/uv" pip sync --quiet --python "$venv/bin/python" --require-hashes "$lock" &&
        "$venv/bin/uv" pip install --quiet --python "$venv/bin/python" --no-deps \
            --no-build-isolation --editable .
}

create_environment
use_configured_index
echo "Installing $lock into $venv"
install || fail "Could not install the packages (see above). Check the network, the package index
(pip config get global.index-url, PIP_INDEX_URL) and the free disk space; then run make again."
