"""Power cuts: a real file system whose device stops taking anything, at a random moment.

The data lie on ext4 in a loop device. `EXT4_IOC_SHUTDOWN` with NOLOGFLUSH stops the file system where it is:
what was not written out with fsync is gone, as when the machine's power fails. Mounted again, the journal is
replayed and the database opened. What had been acknowledged is known from outside: by then it had gone
through a pipe to this process.
"""

from __future__ import annotations

import fcntl
import os
import random
import signal
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Connection, select
from sqlalchemy.exc import SQLAlchemyError

from modelway.conversation.errors import CallError
from modelway.store.audit import audit
from modelway.store.migrate import upgrade
from modelway.store.schema import entries, holds, keys
from modelway.store.urls import StoreError
from tests.fix_gateway import until
from tests.ledger.through_gateway import ask

DISK_BYTES = 64 * 1024 * 1024
EXT4_IOC_SHUTDOWN = 0x8004587D  # linux/fs/ext4/ext4.h: _IOR('X', 125, __u32)
NO_LOG_FLUSH = 2  # what is in the journal's memory is lost as well
KINDS = ("top_up", "revoked", "held", "charged")  # as `acknowledging` says them
LIFE_S = (0.02, 0.4)  # between the first acknowledgement and the cut


class NoDisk(Exception):
    """Why no file system can be made and mounted here."""


class Disk:
    """A file system in a file. `cut` takes its power away, `restored` brings it back as it then is."""

    def __init__(self, folder: Path) -> None:
        self.image, self.path = folder / "disk.img", folder / "disk"
        self.path.mkdir()
        with self.image.open("wb") as image:
            image.truncate(DISK_BYTES)
        _run("mkfs.ext4", "-q", str(self.image))
        self.mount()

    def mount(self) -> None:
        _run("mount", "-o", "loop", str(self.image), str(self.path))

    def unmount(self) -> None:
        _run("umount", str(self.path))

    def cut(self) -> None:
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, EXT4_IOC_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        finally:
            os.close(descriptor)

    def restored(self) -> None:
        self.unmount()
        self.mount()


def _run(*command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    except FileNotFoundError:
        raise NoDisk(f"{command[0]} is not installed") from None
    if done.returncode:
        raise NoDisk(f"{command[0]}: {done.stderr.strip()[:200]}")


@contextmanager
def disk(folder: Path) -> Iterator[Disk]:
    """Raises NoDisk where a file cannot be mounted: without root, or without loop devices."""
    if os.geteuid() != 0:
        raise NoDisk("only root may mount a file system")
    made = Disk(folder)
    try:
        yield made
    finally:
        made.unmount()


@dataclass
class Cuts:
    """What a series of cuts showed. `lost` and `broken` have to be empty."""

    acknowledged: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)


def cut_again_and_again(place: Disk, cuts: int, seed: int, synchronous: str = "FULL") -> Cuts:
    """Cut the power under a program that changes money; compare what it was told with what is there."""
    moments = random.Random(seed)
    found = Cuts()
    for number in range(cuts):
        url = f"sqlite:///{place.path}/{synchronous}-{number}/modelway.db"
        upgrade(url)
        said = _until_cut(place, url, synchronous, moments.uniform(*LIFE_S))
        place.restored()
        kept = _kept_of_what_opens(url)
        found.acknowledged.update(kind for kind, _ in said)
        found.lost += [f"{kind} {name}" for kind, name in said if name not in kept[kind]]
        if not found.lost:
            found.broken += ask(url, audit)
    return found


def _until_cut(place: Disk, url: str, synchronous: str, after_s: float) -> list[tuple[str, str]]:
    """What the program was told before the power went: pairs of what was done and to what."""
    command = [sys.executable, "-m", "tests.ledger.acknowledging", url, synchronous]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as program:
        assert program.stdout is not None
        said = [program.stdout.readline()]
        time.sleep(after_s)
        _stop(program.pid)
        place.cut()
        program.kill()
        said += [line for line in program.stdout if line.endswith("\n")]
    pairs = [line.split() for line in said]
    assert all(len(pair) == 2 for pair in pairs), said[:3]
    return [(kind, name) for kind, name in pairs]


def _stop(pid: int) -> None:
    """Nothing is acknowledged from here on, as on a machine without power. The shutdown alone does not see to
    that: an `fsync` that it overtakes can return as if all were well. What is in the kernel's hands goes on.
    """
    os.kill(pid, signal.SIGSTOP)
    tasks = Path(f"/proc/{pid}/task")
    until(lambda: all(_state(task) in "TD" for task in tasks.iterdir()), "a program that stands still")


def _state(task: Path) -> str:
    """T is stopped; D waits for the disk and will stop before it runs again (proc(5))."""
    return (task / "stat").read_text().rpartition(") ")[2][0]


def _kept(connection: Connection) -> dict[str, set[str]]:
    top_ups = connection.execute(select(entries.c.id).where(entries.c.kind == "top_up"))
    charges = set(
        connection.execute(select(entries.c.attempt_id).where(entries.c.kind == "charge")).scalars()
    )
    held = connection.execute(select(holds.c.attempt_id))
    revoked = connection.execute(select(keys.c.id).where(keys.c.revoked_at_ms.is_not(None)))
    found = (set(top_ups.scalars()), set(revoked.scalars()), charges | set(held.scalars()), charges)
    return dict(zip(KINDS, found, strict=True))


def _kept_of_what_opens(url: str) -> dict[str, set[str]]:
    try:
        return ask(url, _kept)
    except (StoreError, CallError, SQLAlchemyError):  # even the tables are gone
        return {kind: set() for kind in KINDS}
