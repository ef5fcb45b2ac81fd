"""How many calls a second does one core carry, beside nginx `proxy_pass` before the same upstream?

Non-streaming, 64 connections, an upstream that answers at once. Gateway or nginx alone on one core; load and
upstream on the other. Rounds alternate, so that a slower minute of the machine falls on all.

nginx runs twice, with one worker and no access log. *proxy_pass* is `location / { proxy_pass
http://127.0.0.1:PORT; }` and not a line more, so that nginx speaks HTTP/1.0 to the upstream and opens a
connection for every call; the goal is held against it. *proxy_pass, connections kept* has `upstream {
keepalive 256; }`, `proxy_http_version 1.1` and an empty `Connection` header as well, and so keeps its
connections to the upstream as the gateway does. The gateway checks the key, reads the body, sets money aside
on the disk before the answer leaves, books and counts the call and writes a log line.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.figures import Figure, Settings, at_least, median_of
from bench.processes import Server
from bench.servers import MODEL, gateway, nginx_proxy, plain_nginx_proxy, static_upstream

CONNECTIONS = 64
WARM_UP_S = 1.0  # fills both connection pools
SCRIPT = Path(__file__).with_name("requests.lua")
REQUEST = {
    "model": MODEL,
    "messages": [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": "Tell me about foxes and dogs in one sentence."},
    ],
    "max_tokens": 64,
    "temperature": 0.2,
}


@dataclass(frozen=True)
class Load:
    """What one round of wrk saw, and what it cost the server."""

    requests_per_s: float
    p50_ms: float
    cpu_us: float  # the server's processor time for one call


def load(server: Server, key: str, seconds: float, settings: Settings) -> Load:
    """One round of wrk against a server; exits when any answer was not a 2xx."""
    body = settings.folder / "request.json"
    body.write_text(json.dumps(REQUEST))
    command = ["taskset", "--cpu-list", str(settings.load_core), "wrk", "--threads", "1", "--latency"]
    command += [
        "--connections",
        str(CONNECTIONS),
        "--duration",
        f"{max(1, round(seconds))}s",
        "--timeout",
        "10s",
    ]
    command += ["--script", str(SCRIPT), f"http://127.0.0.1:{server.port}/v1/chat/completions"]
    environment = {**os.environ, "BENCH_REQUEST": str(body), "BENCH_KEY": key}
    before_s = server.cpu_s()
    finished = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    lines = [line for line in finished.stdout.splitlines() if line.startswith("RESULT ")]
    if not lines:
        sys.exit(f"wrk gave no result:\n{finished.stdout}{finished.stderr}")
    result = json.loads(lines[0].removeprefix("RESULT "))
    if result["failed"]:
        sys.exit(f"{result['failed']} of {result['requests']} calls failed:\n{finished.stdout}")
    cpu_us = (server.cpu_s() - before_s) * 1e6 / result["requests"]
    return Load(result["requests"] / result["seconds"], result["p50_us"] / 1000, cpu_us)


def measure(settings: Settings) -> list[Figure]:
    folder = settings.sub("requests")
    with ExitStack() as stack:
        upstream = stack.enter_context(static_upstream(folder, settings.load_core))
        plain = stack.enter_context(plain_nginx_proxy(upstream.port, folder, settings.server_core))
        kept = stack.enter_context(nginx_proxy(upstream.port, folder, settings.server_core))
        ours = stack.enter_context(gateway(upstream.port, folder, settings.server_core))
        servers = (plain, kept, ours.server)
        for server in servers:
            load(server, ours.key, WARM_UP_S, settings)
        rounds = [
            [load(server, ours.key, settings.seconds, settings) for server in servers]
            for _ in range(settings.rounds)
        ]
    by_plain, by_kept, own = zip(*rounds, strict=True)
    return [
        _rate("nginx proxy_pass", by_plain),
        _rate("nginx proxy_pass, connections kept", by_kept),
        _rate("Modelway", own),
        median_of("Modelway ÷ nginx proxy_pass", _ratios(own, by_plain), "", at_least(0.20)),
        median_of("Modelway ÷ nginx proxy_pass, connections kept", _ratios(own, by_kept), ""),
        median_of("Modelway, p50 at 64 connections", [each.p50_ms for each in own], "ms"),
        median_of("nginx proxy_pass, CPU per call", [each.cpu_us for each in by_plain], "µs"),
        median_of(
            "nginx proxy_pass, connections kept, CPU per call", [each.cpu_us for each in by_kept], "µs"
        ),
        median_of("Modelway, CPU per call", [each.cpu_us for each in own], "µs"),
    ]


def _rate(name: str, loads: Sequence[Load]) -> Figure:
    return median_of(name, [each.requests_per_s for each in loads], "requests/s")


def _ratios(own: Sequence[Load], other: Sequence[Load]) -> list[float]:
    return [ours.requests_per_s / theirs.requests_per_s for ours, theirs in zip(own, other, strict=True)]
