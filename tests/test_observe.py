"""What operators see: whole JSON lines whatever the reader does, and counters that callers cannot inflate."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from modelway import observe
from modelway.catalog.cards import Catalog
from modelway.observe import COUNTS_SUFFIX, SERIES_MAX, Log, Metrics, forwarded
from modelway.providers.registry import KINDS, Provider, Registry
from tests.fix_gateway import until

MODEL_CALL = ("chat", "small", "lab", "ok", 0.2, 0.1)


@contextmanager
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe whose two ends never block, as a supervisor of processes may hand us one."""
    ends = os.pipe()
    for end in ends:
        os.set_blocking(end, False)
    try:
        yield ends
    finally:
        for end in ends:
            os.close(end)


def read_all(descriptor: int) -> bytes:
    heard = b""
    try:
        while chunk := os.read(descriptor, 65536):
            heard += chunk
    except BlockingIOError:
        pass
    return heard


def lines_of(heard: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in heard.splitlines()]


@contextmanager
def log_file(level: str = "info") -> Iterator[tuple[Log, Path]]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log"
        descriptor = os.open(path, os.O_CREAT | os.O_WRONLY)
        yield Log(level, lambda: 1.0, descriptor), path
        os.close(descriptor)


def test_a_reader_that_pauses_gets_every_line_whole() -> None:
    with pipe() as (reader, writer):
        log = Log("info", lambda: 1.0, writer)
        for number in range(2_000):
            log.write("info", "call", number=number, padding="x" * 100)
        heard = b""

        def all_heard() -> bool:
            nonlocal heard
            heard += read_all(reader)
            return heard.count(b"\n") == 2_000

        time.sleep(0.2)  # the pipe is full and the writer meets that
        until(all_heard, "2,000 lines")
        log.close()

    assert [line["number"] for line in lines_of(heard)] == list(range(2_000))


def test_lines_that_found_no_room_are_counted_and_none_is_split(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observe, "LINES_WAITING_MAX", 50)
    with pipe() as (reader, writer):
        log = Log("info", lambda: 1.0, writer)
        heard = b""
        for _ in range(60):
            for _ in range(100):
                log.write("info", "call", padding="x" * 500)
            time.sleep(0.01)

        def caught_up() -> bool:
            nonlocal heard
            heard += read_all(reader)
            return b"log_lines_dropped" in heard and heard.endswith(b"\n")

        until(caught_up, "the number of lines lost")
        log.close()
        lines = lines_of(heard + read_all(reader))

    lost = sum(line["count"] for line in lines if line["event"] == "log_lines_dropped")
    assert lost
    assert lost + sum(line["event"] == "call" for line in lines) == 6_000


def test_a_log_that_nobody_reads_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observe, "FAREWELL_S", 0.1)
    with pipe() as (reader, writer):
        log = Log("info", lambda: 1.0, writer)
        for _ in range(5_000):
            log.write("info", "call", padding="x" * 100)
        log.close()
        until(lambda: not log._thread.is_alive(), "the end of the log's thread")
        assert read_all(reader)


@contextmanager
def only_ours() -> Iterator[None]:
    """Keeps the lone surrogate out of pytest's own capture, which pytest-xdist could not send on."""
    root = logging.getLogger()
    kept = root.handlers
    root.handlers = [each for each in kept if type(each).__module__.startswith("modelway")]
    try:
        yield
    finally:
        root.handlers = kept


def test_what_libraries_say_becomes_lines_of_the_log() -> None:
    with log_file() as (log, path):
        with forwarded(log), only_ours():
            logging.getLogger("modelway.store.writer").warning("a group of %d changes failed", 3)
            logging.getLogger("modelway.store.writer").info("shown at this level")
            logging.getLogger("modelway.store.writer").debug("not shown at this level")
            logging.getLogger("elsewhere").error("an odd character: %s", "\ud800")
        log.close()
        lines = lines_of(path.read_bytes())

    assert lines[0] == {
        "time": 1.0,
        "level": "warning",
        "event": "said",
        "source": "modelway.store.writer",
        "message": "a group of 3 changes failed",
    }
    assert [(line["level"], line["message"]) for line in lines[1:]] == [
        ("info", "shown at this level"),
        ("error", "an odd character: ?"),
    ]


def test_a_last_word_is_written_before_the_process_is_gone() -> None:
    with log_file() as (log, path):
        with forwarded(log):
            logging.getLogger("modelway.store").critical("the disk failed")
            heard = path.read_bytes()
        log.close()

    assert [line["message"] for line in lines_of(heard)] == ["the disk failed"]


def test_models_that_callers_name_are_one_label_per_provider() -> None:
    lab = Provider("lab", KINDS["openai-compatible"], "chat", "http://127.0.0.1:9001/v1")
    registry = Registry({"lab": lab}, (), Catalog(()), ("lab",))

    labels = {registry.find(f"lab/made-up-{number}").label for number in range(10)}

    assert labels == {"lab/*"}


def test_series_are_bounded_over_all_counters_and_nothing_is_lost() -> None:
    metrics = Metrics()
    for number in range(SERIES_MAX):
        metrics.call_ended("chat", f"m{number}", "lab", "ok", 0.2, None)
        metrics.tokens_used(f"m{number}", "input", 1)
        metrics.money_spent(f"m{number}", 1_000_000_000)
    text = metrics.render().decode()

    rows = [
        line for line in text.splitlines() if line.startswith(("modelway_calls_total", "modelway_tokens"))
    ]
    costs = [line for line in text.splitlines() if line.startswith("modelway_cost_usd_total")]
    assert len(rows) + len(costs) <= SERIES_MAX + 3  # three more for `other`
    assert any('model="other"' in row for row in rows)
    assert sum(float(row.split()[-1]) for row in rows) == 2 * SERIES_MAX
    assert sum(float(row.split()[-1]) for row in costs) == SERIES_MAX


def count_of(metrics: Metrics, name: str) -> float:
    rows = [line for line in metrics.render().decode().splitlines() if line.startswith(f"{name}{{")]
    return sum(float(row.split()[-1]) for row in rows)


def test_whichever_worker_is_asked_all_are_counted(tmp_path: Path) -> None:
    one, other = (Metrics(tmp_path / f"{number}{COUNTS_SUFFIX}") for number in range(2))
    for metrics, calls in ((one, 3), (other, 4)):
        for _ in range(calls):
            metrics.call_ended(*MODEL_CALL)
        metrics.tokens_used("small", "input", 10)
        metrics.now(live=1, engine_restarts=0)
        asyncio.run(metrics.publish())

    for metrics in (one, other):
        assert count_of(metrics, "modelway_calls_total") == 7
        assert count_of(metrics, "modelway_tokens_total") == 20
        assert count_of(metrics, "modelway_call_seconds_count") == 7
        assert "modelway_calls_live 2.0" in metrics.render().decode()


def test_a_worker_goes_on_from_the_numbers_of_the_one_it_replaces(tmp_path: Path) -> None:
    file = tmp_path / f"0{COUNTS_SUFFIX}"
    for calls in range(1, 4):  # each generation publishes twice, which must not count twice
        metrics = Metrics(file)
        metrics.call_ended(*MODEL_CALL)
        metrics.now(live=1, engine_restarts=1)
        for _ in range(2):
            asyncio.run(metrics.publish())
        assert count_of(metrics, "modelway_calls_total") == calls

    text = metrics.render().decode()
    assert "modelway_calls_live 1.0" in text
    assert "modelway_engine_restarts 3.0" in text


def test_half_a_file_of_another_worker_counts_as_none(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path / f"0{COUNTS_SUFFIX}")
    metrics.call_ended(*MODEL_CALL)
    asyncio.run(metrics.publish())
    published = (tmp_path / f"0{COUNTS_SUFFIX}").read_bytes()
    (tmp_path / f"1{COUNTS_SUFFIX}").write_bytes(published[:-3])

    assert count_of(metrics, "modelway_calls_total") == 1
