#!/bin/sh
# The programs that tests and benches run beside the gateway; installed when root, otherwise named.
set -eu

missing=""
for pair in nginx:nginx haproxy:haproxy chromium:chromium wrk:wrk node:nodejs npm:npm; do
    command -v "${pair%%:*}" >/dev/null 2>&1 || [ -x "/usr/sbin/${pair%%:*}" ] || missing="$missing ${pair##*:}"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing the Debian packages$missing"
    export DEBIAN_FRONTEND=noninteractive
    # shellcheck disable=SC2086  # a list of words, meant to be split
    apt-get update -qq && apt-get install -y -qq --no-install-recommends $missing >/dev/null
else
    echo "not installed:$missing (what needs them is skipped); on Debian: sudo apt-get install$missing" >&2
fi
