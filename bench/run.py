"""Runs the benches one after another and writes RESULTS.md: machine, versions, medians, ratios, goals."""

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from bench import bench_engine, bench_latency, bench_requests, bench_start, bench_stream
from bench.figures import Figure, Settings
from bench.processes import ROOT
from modelway import __version__

RESULTS = Path(__file__).with_name("RESULTS.md")
SCRATCH = ROOT / "build" / "bench"  # beside the checkout, so on a real disk: a ledger in memory is no ledger

BENCHES: dict[str, tuple[str, Callable[[Settings], list[Figure]]]] = {
    "requests": (bench_requests.__doc__ or "", bench_requests.measure),
    "stream": (bench_stream.__doc__ or "", bench_stream.measure),
    "latency": (bench_latency.__doc__ or "", bench_latency.measure),
    "start": (bench_start.__doc__ or "", bench_start.measure),
    "engine": (bench_engine.__doc__ or "", bench_engine.measure),
}
LIBRARIES = ("uvloop", "httptools", "msgspec", "sqlalchemy", "xllamacpp")


def machine() -> Iterable[tuple[str, str]]:
    """What the figures were taken on."""
    cpus = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    memory_kb = int(Path("/proc/meminfo").read_text().split()[1])
    yield "processor", f"{cpus[0].split(':')[1].strip() if cpus else platform.machine()}"
    yield "cores, memory", f"{os.cpu_count()}, {memory_kb / 1e6:.1f} GB"
    yield "system", f"{platform.freedesktop_os_release()['PRETTY_NAME']}, Linux {platform.release()}"
    whose = "the system's own" if sys.base_prefix == "/usr" else "not the system's own"
    yield "Python", f"{platform.python_version()}, {whose}"
    yield "Modelway", __version__
    yield "nginx", nginx_version()
    yield "libraries", ", ".join(f"{name} {version(name)}" for name in LIBRARIES)


def nginx_version() -> str:
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin") or sys.exit(
        "nginx is not installed"
    )
    printed = subprocess.run([program, "-v"], capture_output=True, text=True, check=True).stderr
    return printed.strip().rpartition("/")[2]


def number(value: float) -> str:
    """Three significant digits, thousands with commas."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def table(figures: list[Figure]) -> str:
    rows = ["| figure | median | goal | | rounds |", "|---|--:|--:|---|---|"]
    for figure in figures:
        rounds = " ".join(number(value) for value in figure.rounds)
        value = f"{number(figure.value)} {figure.unit}".strip()
        rows.append(f"| {figure.name} | {value} | {figure.goal or ''} | {figure.verdict} | {rounds} |")
    return "\n".join(rows)


def page(sections: dict[str, list[Figure]], settings: Settings) -> str:
    when = datetime.now(UTC).strftime("%Y-%m-%d")
    head = (
        "# Measured\n\n"
        f"Written by `make bench` on {when}: {settings.rounds} rounds of {settings.seconds:g} s. Key check,\n"
        "metrics, log line and the record of each call are on. The machine drifts, so servers that are\n"
        "compared take turns, and the ratios are what counts.\n\n"
    )
    facts = "| | |\n|---|---|\n" + "\n".join(f"| {name} | {value} |" for name, value in machine())
    parts = [f"## {BENCHES[name][0].strip()}\n\n{table(figures)}" for name, figures in sections.items()]
    return head + facts + "\n\n" + "\n\n".join(parts) + "\n"


def cores() -> tuple[int, int]:
    """One core for the server, another for the load; the same one where there is only one."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round; RESULTS.md stays")
    parser.add_argument("--only", choices=sorted(BENCHES), nargs="+", help="only these; RESULTS.md stays")
    options = parser.parse_args()
    chosen = options.only or list(BENCHES)
    SCRATCH.mkdir(parents=True, exist_ok=True)
    sections: dict[str, list[Figure]] = {}
    with tempfile.TemporaryDirectory(dir=SCRATCH) as folder:
        server_core, load_core = cores()
        rounds, seconds = (1, 2.0) if options.quick else (9, 3.0)
        settings = Settings(Path(folder), server_core, load_core, rounds, seconds)
        for name in chosen:
            started_s = time.monotonic()
            sections[name] = BENCHES[name][1](settings)
            print(f"{name}, {time.monotonic() - started_s:.0f} s\n{table(sections[name])}\n", flush=True)
        if not options.quick and not options.only:
            RESULTS.write_text(page(sections, settings))
            print(f"wrote {RESULTS}")


if __name__ == "__main__":
    main()
