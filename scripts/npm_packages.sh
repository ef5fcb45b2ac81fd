#!/bin/sh
# npm_packages.sh FOLDER: the Node programs of tests/programs/package.json, or a sentence saying what is missing.
# Without them their tests are skipped with this reason; nothing else needs Node.
set -eu
folder=$1
wanted=tests/programs/package.json
SECONDS_MAX=600 # 1.2 GB: three coding agents with their own runtimes

if cmp -s "$wanted" "$folder/installed.json"; then
    exit 0
fi
if ! command -v npm >/dev/null 2>&1; then
    echo "npm was not found: the tests with coding agents and Node programs are skipped" >&2
    exit 0
fi
echo "installing the npm packages of $wanted"
mkdir -p "$folder"
cp "$wanted" "$folder/package.json"
# No lock file: it would record addresses. Install scripts are not run; the two that are needed are, below.
if ! (cd "$folder" && timeout "$SECONDS_MAX" npm install --no-package-lock --ignore-scripts --no-audit --no-fund \
    --loglevel=error && node node_modules/@anthropic-ai/claude-code/install.cjs &&
    (cd node_modules/opencode-ai && node postinstall.mjs)); then
    echo "npm could not install them: the tests with coding agents and Node programs are skipped" >&2
    exit 0
fi
cp "$wanted" "$folder/installed.json"
