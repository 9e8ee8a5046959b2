#!/bin/sh
# Makes .venv and installs the Debian packages that are missing. Does nothing where all is there.
set -eu
cd "$(dirname "$0")/.."
venv=${VENV:-.venv}

need=""
have() { command -v "$1" >/dev/null 2>&1; }
have gcc || need="$need gcc libc6-dev"
have arm-none-eabi-gcc || need="$need gcc-arm-none-eabi"
{ have arm-none-eabi-gcc && [ -e "$(arm-none-eabi-gcc -print-file-name=nano.specs)" ]; } ||
    need="$need libnewlib-arm-none-eabi"
have qemu-system-arm || need="$need qemu-system-arm"
have gdb-multiarch || need="$need gdb-multiarch"
python=""
for name in python3.11 python3.12 python3.13 python3; do
    if have "$name" && "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
        python=$name
        break
    fi
done
[ -n "$python" ] || need="$need python3"
if [ -z "$python" ] || ! "$python" -c 'import ensurepip' >/dev/null 2>&1; then
    need="$need python3-venv"
fi

if [ -n "$need" ]; then
    line="apt-get install -y --no-install-recommends$need"
    if [ "$(id -u)" = 0 ]; then
        echo "set-up: $line"
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive sh -c "$line -qq" >/dev/null
    elif have sudo && sudo -n true 2>/dev/null; then
        echo "set-up: sudo $line"
        sudo apt-get update -qq
        sudo DEBIAN_FRONTEND=noninteractive sh -c "$line -qq" >/dev/null
    else
        echo "error: Debian packages are missing:$need" >&2
        echo "hint: sudo $line" >&2
        exit 4
    fi
    [ -n "$python" ] || python=python3
fi

stamp=$(cksum pyproject.toml | cut -d' ' -f1)
if [ "$(cat "$venv/ready" 2>/dev/null)" != "$stamp" ]; then
    echo "set-up: Python packages into $venv"
    [ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet --editable '.[dev]'
    echo "$stamp" >"$venv/ready"
fi
