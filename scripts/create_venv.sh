#!/bin/sh
# create_venv.sh PYTHON FOLDER: a virtual environment with pip, or a sentence saying what is missing.
set -eu
python=$1
folder=$2

if ! command -v "$python" >/dev/null 2>&1; then
    echo "$python was not found; Modelway needs Python 3.11 or newer (make PYTHON=/path/to/python3 …)" >&2
    exit 1
fi
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "$("$python" --version) is too old; Modelway needs 3.11 or newer (make PYTHON=/path/to/python3 …)" >&2
    exit 1
fi
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    # Debian splits these two out of python3.
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        echo "installing the Debian package python3-venv"
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-venv >/dev/null
    else
        echo "$python has no venv module; on Debian: sudo apt-get install python3-venv" >&2
        exit 1
    fi
fi
# An environment whose interpreter is gone (Python was upgraded) is made anew.
if ! "$folder/bin/python" -c 'import pip' 2>/dev/null; then
    "$python" -m venv --clear "$folder"
fi
