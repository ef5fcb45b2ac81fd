"""How soon is it there, and what does it take: start, import, first token, memory, disk?"""

import re
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import uvloop

from bench.figures import Figure, Settings, at_most, median_of
from bench.local_model import stream_when_loaded
from bench.processes import ROOT, on_core
from bench.servers import gateway, gateway_environment, make_key, serving, stream_upstream
from bench.streams import CHAT, run_streams

MEGABYTE = 1e6
BUILD_TOOLS = {"setuptools"}  # locked because `make setup` uses it; nothing that runs imports it


def import_s(module: str) -> float:
    """Seconds to import a module in a new interpreter, the interpreter's own start taken out."""
    code = f"import time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"
    command = [sys.executable, "-c", code]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, env=gateway_environment())
    return float(printed.stdout)


def import_figures(settings: Settings) -> list[Figure]:
    for module in ("modelway", "modelway.app"):
        import_s(module)  # the first one writes the bytecode
    return [
        median_of(
            "import modelway", [import_s("modelway") for _ in range(settings.rounds)], "s", at_most(0.3)
        ),
        median_of(
            "import modelway.app, all that serves",
            [import_s("modelway.app") for _ in range(settings.rounds)],
            "s",
        ),
    ]


def start_figures(settings: Settings) -> list[Figure]:
    """Second starts: the database exists, the weights are there."""
    folder = settings.sub("start")
    options = ["--data-dir", str(folder / "data")]
    key = make_key(folder, options)
    ready_s, first_token_s, resident_bytes = [], [], []
    for _ in range(settings.rounds + 1):
        with serving(folder, options) as ours:
            ready_s.append(time.monotonic() - ours.started_s)
            answer = stream_when_loaded(f"http://127.0.0.1:{ours.port}", key, 8)
            first_token_s.append(answer.first_content_s - ours.started_s)
            resident_bytes.append(ours.resident_bytes())
    return [
        # The first round warms the file cache, as any second start finds it.
        median_of("start to /readyz", ready_s[1:], "s", at_most(1.0)),
        median_of("start to the first token of the local model", first_token_s[1:], "s"),
        median_of("resident memory with the engine", [b / MEGABYTE for b in resident_bytes[1:]], "MB"),
    ]


def memory_figures(settings: Settings) -> list[Figure]:
    """Without the engine, after it has worked: 64 streams at once."""
    folder = settings.sub("memory")
    with (
        stream_upstream(folder, settings.load_core, chunks=50, interval_ms=5, first_ms=0) as up,
        gateway(up.port, folder, settings.server_core) as ours,
        on_core(settings.load_core),
    ):
        idle = ours.server.resident_bytes()
        uvloop.run(run_streams(ours.port, CHAT.request(ours.key), CHAT.terminal, connections=64, each=4))
        worked = ours.server.resident_bytes()
    return [
        Figure("resident memory without the engine, just started", idle / MEGABYTE, "MB"),
        Figure(
            "resident memory without the engine, after 256 streams", worked / MEGABYTE, "MB", at_most(140)
        ),
    ]


def installed_bytes(name: str) -> int | None:
    """Bytes on disk of an installed distribution; None when this platform does not want it."""
    try:
        files = distribution(name).files or []
    except PackageNotFoundError:
        return None
    paths = (Path(str(file.locate())) for file in files)
    return sum(path.stat().st_size for path in paths if path.is_file())


def size_figures() -> list[Figure]:
    lock = (ROOT / "requirements.lock").read_text()
    names = set(re.findall(r"^([a-z0-9-]+)==", lock, re.M)) - BUILD_TOOLS
    sizes = {name: size for name in names if (size := installed_bytes(name)) is not None}
    source = sum(path.stat().st_size for path in (ROOT / "src").rglob("*") if path.is_file())
    three = sorted(sizes, key=lambda name: -sizes[name])[:3]
    return [
        Figure("distributions at run time", len(sizes), ""),
        Figure("installed size of them", sum(sizes.values()) / MEGABYTE, "MB"),
        *(Figure(f"of which {name}", sizes[name] / MEGABYTE, "MB") for name in three),
        Figure("Modelway itself", source / MEGABYTE, "MB"),
    ]


def measure(settings: Settings) -> list[Figure]:
    return [
        *start_figures(settings),
        *import_figures(settings),
        *memory_figures(settings),
        *size_figures(),
    ]
