"""What the people who run it see: metrics and log lines. Never a prompt, a key or a header's value."""

from __future__ import annotations

import asyncio
import logging
import os
import select
import threading
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import accumulate
from pathlib import Path

import msgspec
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
# Lines waiting for the writer. At 5,000 calls/s that is 4 s of a log reader that does not read.
LINES_WAITING_MAX = 20_000
WRITE_EVERY_S = 0.05
WRITABLE_WAIT_S = 0.5  # for a reader that has not kept up; then the next round tries again
FAREWELL_S = 1.0  # at the end, for the lines that still wait
MESSAGE_CHARACTERS_MAX = 500  # of a library's own words: enough to name the cause
# Label values come from configuration, never from callers; this bounds a configuration gone wild, over all
# counters together. The model of what comes after it is `other`.
SERIES_MAX = 2000
PUBLISH_EVERY_S = 1.0  # how far a worker's numbers lag behind when another one answers `/metrics`
# Seconds. From a cached local answer to a long reasoning run.
BUCKETS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)

COUNTS_SUFFIX = ".counts"

Labels = tuple[str, ...]
_encode = msgspec.json.Encoder().encode


class Log:
    """JSON lines on a file descriptor, written by one thread so that a slow reader never holds up a call."""

    def __init__(self, level: str, now: Callable[[], float], descriptor: int = 2) -> None:
        self.threshold = LEVELS[level]
        self._now = now
        self._descriptor = descriptor
        self._waiting: deque[bytes] = deque()
        self._unwritten = b""  # what the descriptor has not taken yet; begins in the middle of a line
        self._dropped = 0
        self._dropping = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="modelway-log", daemon=True)
        self._thread.start()

    def write(self, level: str, event: str, **fields: object) -> None:
        """One line: when, level, what happened, and `fields` (ids, counts, names; no content)."""
        if LEVELS[level] < self.threshold:
            return
        if len(self._waiting) >= LINES_WAITING_MAX:
            with self._dropping:
                self._dropped += 1
            return
        self._waiting.append(self._line(level, event, fields))

    def write_now(self, level: str, event: str, **fields: object) -> None:
        """A last word: the process may be gone before the thread's next round."""
        with suppress(OSError):
            os.write(self._descriptor, self._line(level, event, fields))

    def _line(self, level: str, event: str, fields: dict[str, object]) -> bytes:
        time_s = int(self._now() * 1000) / 1000
        return _encode({"time": time_s, "level": level, "event": event, **fields}) + b"\n"

    def _run(self) -> None:
        while not self._stopping.wait(WRITE_EVERY_S):
            self._flush()
        deadline_s = time.monotonic() + FAREWELL_S
        while self._flush() and time.monotonic() < deadline_s:
            pass

    def _flush(self) -> bool:
        """Write what waits; whether something is left. What was begun is ended first: no line is split."""
        if not self._unwritten:
            self._unwritten = self._gather()
        try:
            while self._unwritten:
                self._unwritten = self._unwritten[os.write(self._descriptor, self._unwritten) :]
        except BlockingIOError:  # a pipe that is full: its reader may be a moment behind
            with suppress(OSError):
                select.select((), (self._descriptor,), (), WRITABLE_WAIT_S)
        except OSError:  # nobody reads, or the disk is full; the gateway goes on, and so may the log later
            self._stopping.wait(WRITE_EVERY_S)
        return bool(self._unwritten or self._waiting)

    def _gather(self) -> bytes:
        lines: list[bytes] = []
        while self._waiting:
            lines.append(self._waiting.popleft())
        with self._dropping:
            dropped, self._dropped = self._dropped, 0
        if dropped:
            lines.append(self._line("warning", "log_lines_dropped", {"count": dropped}))
        return b"".join(lines)

    def close(self) -> None:
        self._stopping.set()
        self._thread.join(timeout=2 * FAREWELL_S)


class _Forwarding(logging.Handler):
    """Hands what `store` and the libraries say through the standard library to the log."""

    def __init__(self, log: Log) -> None:
        super().__init__(log.threshold)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        words = record.getMessage()[:MESSAGE_CHARACTERS_MAX].encode(errors="replace").decode()
        fields: dict[str, object] = {"source": record.name, "message": words}
        if record.exc_info and record.exc_info[0] is not None:
            fields["error"] = record.exc_info[0].__name__
        if record.levelno >= logging.CRITICAL:
            self._log.write_now("error", "said", **fields)
            return
        level = next((name for name in reversed(LEVELS) if LEVELS[name] <= record.levelno), "debug")
        self._log.write(level, "said", **fields)


@contextmanager
def forwarded(log: Log) -> Iterator[None]:
    """While this is open, everything said through the standard library's logging becomes lines of `log`."""
    root, ours = logging.getLogger(), logging.getLogger(__package__)
    handler, level = _Forwarding(log), ours.level
    root.addHandler(handler)
    ours.setLevel(log.threshold)
    try:
        yield
    finally:
        root.removeHandler(handler)
        ours.setLevel(level)


class _Spread(msgspec.Struct):
    """One histogram's series: how many observations fell into each bucket, and their sum."""

    counts: list[int] = msgspec.field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    total: float = 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(BUCKETS, seconds)] += 1
        self.total += seconds

    def add(self, other: _Spread) -> None:
        self.counts = [one + more for one, more in zip(self.counts, other.counts, strict=True)]
        self.total += other.total

    def cumulative(self) -> list[tuple[str, float]]:
        names = [*(str(float(limit)) for limit in BUCKETS), "+Inf"]
        return list(zip(names, accumulate(self.counts), strict=True))


class _Counts(msgspec.Struct):
    """The numbers of one worker, as it keeps them and as it shows them to the others."""

    calls: dict[Labels, int] = msgspec.field(default_factory=dict)
    tokens: dict[Labels, int] = msgspec.field(default_factory=dict)
    nano_usd: dict[Labels, int] = msgspec.field(default_factory=dict)
    durations: dict[str, _Spread] = msgspec.field(default_factory=dict)
    first_tokens: dict[str, _Spread] = msgspec.field(default_factory=dict)
    limited: dict[Labels, int] = msgspec.field(default_factory=dict)
    engine_restarts: int = 0
    live: int = 0
    valkey_away: int = 0

    def add(self, other: _Counts) -> None:
        for name in ("calls", "tokens", "nano_usd", "limited"):
            ours: dict[Labels, int] = getattr(self, name)
            theirs: dict[Labels, int] = getattr(other, name)
            for labels, count in theirs.items():
                ours[labels] = ours.get(labels, 0) + count
        for spreads, more in ((self.durations, other.durations), (self.first_tokens, other.first_tokens)):
            for protocol, spread in more.items():
                spreads.setdefault(protocol, _Spread()).add(spread)
        self.engine_restarts += other.engine_restarts
        self.live += other.live
        self.valkey_away += other.valkey_away


# Not JSON: its keys could not be the labels.
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(_Counts).decode


class Metrics(Collector):
    """Counters of this process. Counted in plain dictionaries, because every call pays for it; made into
    Prometheus' families only when `/metrics` is read.

    Workers beside each other share a folder: each keeps its numbers in `file` there (`publish`), and the one
    that is asked adds them up. Who takes over the file of a worker that died goes on from its numbers.
    """

    def __init__(self, file: Path | None = None) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(self)
        self._file = file
        self._publishing = asyncio.Lock()
        self._own = _Counts()
        # Apart from our own: they end with this process, while what was counted before it goes on.
        self._before = _Counts() if file is None else _read(file)
        self._before.live = self._before.valkey_away = 0

    def now(self, live: int, engine_restarts: int, *, valkey_away: bool = False) -> None:
        """Take note of what is not counted but looked up."""
        self._own.live, self._own.engine_restarts = live, engine_restarts
        self._own.valkey_away = int(valkey_away)

    def call_ended(
        self,
        protocol: str,
        model: str,
        provider: str,
        outcome: str,
        seconds: float,
        first_token_s: float | None,
    ) -> None:
        own = self._own
        self._add(own.calls, (protocol, model, provider, outcome), 1, 1)
        if protocol not in own.durations:
            own.durations[protocol], own.first_tokens[protocol] = _Spread(), _Spread()
        own.durations[protocol].observe(seconds)
        if first_token_s is not None:
            own.first_tokens[protocol].observe(first_token_s)

    def tokens_used(self, model: str, bucket: str, count: int) -> None:
        self._add(self._own.tokens, (model, bucket), count, 0)

    def money_spent(self, model: str, nano_usd: int) -> None:
        self._add(self._own.nano_usd, (model,), nano_usd, 0)

    def rate_limited(self, scope: str, limit: str) -> None:
        """A call was refused; both words are of our own tables."""
        limited = self._own.limited
        limited[scope, limit] = limited.get((scope, limit), 0) + 1

    def _add(self, series: dict[Labels, int], labels: Labels, count: int, model_at: int) -> None:
        """The one place where a series begins."""
        if labels in series:
            series[labels] += count
            return
        own = self._own
        if len(own.calls) + len(own.tokens) + len(own.nano_usd) >= SERIES_MAX:
            labels = (*labels[:model_at], "other", *labels[model_at + 1 :])
        series[labels] = series.get(labels, 0) + count

    async def publish(self) -> None:
        """Show this worker's numbers, and those it took over, to the other workers. Raises OSError."""
        if self._file is not None:
            async with self._publishing:
                await asyncio.to_thread(_replace, self._file, _pack(self._summed(())))

    def _others(self) -> list[_Counts]:
        if self._file is None:
            return []
        return [_read(path) for path in self._file.parent.glob(f"*{COUNTS_SUFFIX}") if path != self._file]

    def _summed(self, others: Iterable[_Counts]) -> _Counts:
        total = _Counts()
        for one in (self._before, self._own, *others):
            total.add(one)
        return total

    def collect(self) -> Iterator[Metric]:
        return _families(self._summed(self._others()))

    def render(self) -> bytes:
        """The text of `/metrics`, of all workers."""
        return generate_latest(self.registry)


def _replace(path: Path, data: bytes) -> None:
    half = path.with_suffix(".new")
    half.write_bytes(data)
    half.replace(path)


def _read(path: Path) -> _Counts:
    """What a worker published; nothing from one that has not yet."""
    try:
        return _unpack(path.read_bytes())
    except (OSError, msgspec.DecodeError):
        return _Counts()


def _families(counts: _Counts) -> Iterator[Metric]:
    calls = CounterMetricFamily(
        "modelway_calls", "Calls that ended", labels=("protocol", "model", "provider", "outcome")
    )
    tokens = CounterMetricFamily("modelway_tokens", "Tokens, by bucket", labels=("model", "bucket"))
    cost = CounterMetricFamily("modelway_cost_usd", "What calls cost, in USD", labels=("model",))
    for labels, count in counts.calls.items():
        calls.add_metric(labels, count)
    for labels, count in counts.tokens.items():
        tokens.add_metric(labels, count)
    for labels, nano_usd in counts.nano_usd.items():
        cost.add_metric(labels, nano_usd / 1e9)
    limited = CounterMetricFamily(
        "modelway_rate_limited", "Calls that a rate limit refused", labels=("scope", "limit")
    )
    for labels, count in counts.limited.items():
        limited.add_metric(labels, count)
    yield from (calls, tokens, cost, limited)
    yield _histogram("modelway_call_seconds", "From request to last byte", counts.durations)
    yield _histogram(
        "modelway_first_token_seconds", "From request to first byte of the answer", counts.first_tokens
    )
    yield GaugeMetricFamily("modelway_calls_live", "Calls under way", counts.live)
    yield GaugeMetricFamily(
        "modelway_engine_restarts", "Restarts of the local model since start", counts.engine_restarts
    )
    yield GaugeMetricFamily(
        "modelway_valkey_away", "Workers that count rate limits alone, without Valkey", counts.valkey_away
    )


def _histogram(name: str, documentation: str, spreads: dict[str, _Spread]) -> Metric:
    family = HistogramMetricFamily(name, documentation, labels=("protocol",))
    for protocol, spread in spreads.items():
        family.add_metric((protocol,), spread.cumulative(), spread.total)
    return family
