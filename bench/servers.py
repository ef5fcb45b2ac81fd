"""The servers of the benches: nginx as upstream and as the limit, the scripted stream, the gateway itself."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.processes import ROOT, Server, free_port, running

BIN = ROOT / ".venv/bin"
MODEL = "m"

ANSWER = json.dumps(
    {
        "id": "chatcmpl-bench",
        "object": "chat.completion",
        "created": 1750000000,
        "model": MODEL,
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "The quick brown fox jumps over the lazy dog. " * 5,
                },
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 23, "completion_tokens": 50, "total_tokens": 73},
    },
    separators=(",", ":"),
)

NGINX_SHELL = """
daemon off;
worker_processes 1;
pid {folder}/{name}.pid;
error_log {folder}/{name}.error.log;
{user}
events {{ worker_connections 2048; }}
http {{
  access_log off;
  client_body_temp_path {folder}/{name}-body;
  proxy_temp_path {folder}/{name}-proxy;
  fastcgi_temp_path {folder}/{name}-fastcgi;
  uwsgi_temp_path {folder}/{name}-uwsgi;
  scgi_temp_path {folder}/{name}-scgi;
  keepalive_requests 10000000;
  {inside}
}}
"""
STATIC = """
  server {{
    listen 127.0.0.1:{port};
    default_type application/json;
    location / {{ return 200 '{answer}'; }}
  }}
"""
PLAIN_PROXY = """
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass http://127.0.0.1:{upstream_port}; }}
  }}
"""
PROXY = """
  upstream up {{ server 127.0.0.1:{upstream_port}; keepalive 256; keepalive_requests 10000000; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://up;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering {buffering};
    }}
  }}
"""
CONFIG = """
providers:
  - {{name: up, kind: openai-compatible, base_url: "{url}", api_key: x}}
models:
  - {{id: {model}, price: {{input: 0.15, output: 0.60}}, targets: [{{provider: up, model: {model}}}]}}
"""


@contextmanager
def nginx(name: str, inside: str, port: int, folder: Path, core: int) -> Iterator[Server]:
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        sys.exit("the benches compare with nginx, which is not installed; on Debian: apt-get install nginx")
    user = "user root;" if os.geteuid() == 0 else ""
    config = folder / f"{name}.conf"
    config.write_text(NGINX_SHELL.format(folder=folder, name=name, user=user, inside=inside))
    with running(name, [program, "-c", str(config), "-p", str(folder)], port, folder, core=core) as server:
        yield server


@contextmanager
def static_upstream(folder: Path, core: int) -> Iterator[Server]:
    """nginx answering every call with the same Chat completion."""
    port = free_port()
    with nginx("static", STATIC.format(port=port, answer=ANSWER), port, folder, core) as server:
        yield server


@contextmanager
def nginx_proxy(
    upstream_port: int, folder: Path, core: int, *, is_streaming: bool = False
) -> Iterator[Server]:
    """nginx `proxy_pass` that keeps its connections: what a proxy costs that does nothing else."""
    port = free_port()
    buffering = "off" if is_streaming else "on"
    inside = PROXY.format(port=port, upstream_port=upstream_port, buffering=buffering)
    with nginx("proxy", inside, port, folder, core) as server:
        yield server


@contextmanager
def plain_nginx_proxy(upstream_port: int, folder: Path, core: int) -> Iterator[Server]:
    """nginx with `proxy_pass` and no more: HTTP/1.0 and a new connection to the upstream for every call."""
    port = free_port()
    inside = PLAIN_PROXY.format(port=port, upstream_port=upstream_port)
    with nginx("plain-proxy", inside, port, folder, core) as server:
        yield server


@contextmanager
def stream_upstream(
    folder: Path, core: int, *, chunks: int, interval_ms: float, first_ms: float
) -> Iterator[Server]:
    """The scripted upstream of bench/upstream.py in a process of its own."""
    port = free_port()
    command = [sys.executable, "-m", "bench.upstream", "--port", str(port), "--chunks", str(chunks)]
    command += ["--interval-ms", str(interval_ms), "--first-ms", str(first_ms)]
    with running("stream-upstream", command, port, folder, core=core) as server:
        yield server


@dataclass(frozen=True)
class Gateway:
    """A running gateway and a key for it."""

    server: Server
    key: str

    @property
    def port(self) -> int:
        return self.server.port


def gateway_environment() -> dict[str, str]:
    """Ours without what would change what a gateway does: MODELWAY_…, provider keys, proxies, and the wish
    that no bytecode be written, with which each start would compile the source anew.
    """
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("MODELWAY_")
        and not name.endswith(("_API_KEY", "_proxy", "_PROXY"))
        and name != "PYTHONDONTWRITEBYTECODE"
    }


def write_config(folder: Path, upstream_port: int) -> Path:
    """One provider, one model with a price, so that every call is also priced and recorded."""
    config = folder / "modelway.yaml"
    config.write_text(CONFIG.format(url=f"http://127.0.0.1:{upstream_port}/v1", model=MODEL))
    return config


def make_key(folder: Path, options: list[str]) -> str:
    """A key from the command line, which prints it alone on standard output."""
    command = [str(BIN / "modelway"), "keys", "create", "--name", "bench", *options]
    made = subprocess.run(
        command,
        cwd=folder,
        env=gateway_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if made.returncode:
        sys.exit(f"`{' '.join(command)}` failed:\n{made.stdout}{made.stderr}")
    return made.stdout.strip()


@contextmanager
def gateway(upstream_port: int, folder: Path, core: int | None) -> Iterator[Gateway]:
    """The gateway as anybody starts it: key check, metrics, log lines and the record of each call are on."""
    config = write_config(folder, upstream_port)
    options = ["--config", str(config), "--data-dir", str(folder / "data")]
    key = make_key(folder, options)
    with serving(folder, options, core) as server:
        yield Gateway(server, key)


@contextmanager
def serving(folder: Path, options: list[str], core: int | None = None) -> Iterator[Server]:
    """`modelway serve` with these options on a free port, until it says that it is ready."""
    port = free_port()
    command = [str(BIN / "modelway"), "serve", "--port", str(port), *options]
    environment = gateway_environment()
    with running(
        "gateway", command, port, folder, core=core, env=environment, cwd=folder, ready_path="/readyz"
    ) as server:
        yield server
