#!/bin/sh
# frameworks.sh PYTHON FOLDER: agent frameworks of tests/programs/frameworks.lock in an environment of their own.
# Without them their tests are skipped with this reason.
set -eu
python=$1
folder=$2
wanted=tests/programs/frameworks.lock

if cmp -s "$wanted" "$folder/installed.lock"; then
    exit 0
fi
echo "installing the packages of $wanted"
sh scripts/create_venv.sh "$python" "$folder"
if ! .venv/bin/uv pip install --quiet --python "$folder/bin/python" --require-hashes --no-deps -r "$wanted"; then
    echo "they could not be installed: the tests with agent frameworks are skipped" >&2
    exit 0
fi
cp "$wanted" "$folder/installed.lock"
