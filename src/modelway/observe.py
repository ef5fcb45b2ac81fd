"""What the people who run it see: metrics and log lines. Never a prompt, a key or a header's value."""

from __future__ import annotations

import os
import threading
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterator
from itertools import accumulate

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
# Label values come from configuration, never from callers; this bounds a configuration gone wild.
SERIES_MAX = 2000
# Seconds. From a cached local answer to a long reasoning run.
BUCKETS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)

_encode = msgspec.json.Encoder().encode


class Log:
    """JSON lines on a file descriptor, written by one thread so that a slow reader never holds up a call."""

    def __init__(self, level: str, now: Callable[[], float], descriptor: int = 2) -> None:
        self._threshold = LEVELS[level]
        self._now = now
        self._descriptor = descriptor
        self._waiting: deque[bytes] = deque()
        self._dropped = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="modelway-log", daemon=True)
        self._thread.start()

    def write(self, level: str, event: str, **fields: object) -> None:
        """One line: when, level, what happened, and `fields` (ids, counts, names; no content)."""
        if LEVELS[level] < self._threshold:
            return
        if len(self._waiting) >= LINES_WAITING_MAX:
            self._dropped += 1
            return
        self._waiting.append(
            _encode({"time": round(self._now(), 3), "level": level, "event": event, **fields})
        )

    def _run(self) -> None:
        while not self._stopping.wait(WRITE_EVERY_S):
            self._flush()
        self._flush()

    def _flush(self) -> None:
        lines: list[bytes] = []
        while self._waiting:
            lines.append(self._waiting.popleft())
        if self._dropped:
            lines.append(_encode({"level": "warning", "event": "log_lines_dropped", "count": self._dropped}))
            self._dropped = 0
        if lines:
            data = b"\n".join(lines) + b"\n"
            while data:
                try:
                    data = data[os.write(self._descriptor, data) :]
                except OSError:  # nobody reads the log any more; the gateway goes on
                    return

    def close(self) -> None:
        self._stopping.set()
        self._thread.join(timeout=2)


class _Spread:
    """One histogram's series: how many observations fell into each bucket, and their sum."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(BUCKETS, seconds)] += 1
        self.total += seconds

    def cumulative(self) -> list[tuple[str, float]]:
        names = [*(str(float(limit)) for limit in BUCKETS), "+Inf"]
        return list(zip(names, accumulate(self.counts), strict=True))


class Metrics(Collector):
    """Counters of this process. Counted in plain dictionaries, because every call pays for it; made into
    Prometheus' families only when `/metrics` is read.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(self)
        self.live = 0
        self.engine_restarts = 0
        self._calls: dict[tuple[str, str, str, str], int] = {}
        self._tokens: dict[tuple[str, str], int] = {}
        self._nano_usd: dict[str, int] = {}
        self._durations: dict[str, _Spread] = {}
        self._first_tokens: dict[str, _Spread] = {}

    def call_ended(
        self,
        protocol: str,
        model: str,
        provider: str,
        outcome: str,
        seconds: float,
        first_token_s: float | None,
    ) -> None:
        labels = (protocol, model, provider, outcome)
        if labels not in self._calls and len(self._calls) >= SERIES_MAX:
            labels = (protocol, "other", provider, outcome)
        self._calls[labels] = self._calls.get(labels, 0) + 1
        if protocol not in self._durations:
            self._durations[protocol], self._first_tokens[protocol] = _Spread(), _Spread()
        self._durations[protocol].observe(seconds)
        if first_token_s is not None:
            self._first_tokens[protocol].observe(first_token_s)

    def tokens_used(self, model: str, bucket: str, count: int) -> None:
        self._tokens[model, bucket] = self._tokens.get((model, bucket), 0) + count

    def money_spent(self, model: str, nano_usd: int) -> None:
        self._nano_usd[model] = self._nano_usd.get(model, 0) + nano_usd

    def collect(self) -> Iterator[Metric]:
        calls = CounterMetricFamily(
            "modelway_calls", "Calls that ended", labels=("protocol", "model", "provider", "outcome")
        )
        for labels, count in self._calls.items():
            calls.add_metric(labels, count)
        tokens = CounterMetricFamily("modelway_tokens", "Tokens, by bucket", labels=("model", "bucket"))
        for pair, count in self._tokens.items():
            tokens.add_metric(pair, count)
        cost = CounterMetricFamily("modelway_cost_usd", "What calls cost, in USD", labels=("model",))
        for model, nano_usd in self._nano_usd.items():
            cost.add_metric((model,), nano_usd / 1e9)
        yield from (calls, tokens, cost)
        yield _histogram("modelway_call_seconds", "From request to last byte", self._durations)
        yield _histogram(
            "modelway_first_token_seconds", "From request to first byte of the answer", self._first_tokens
        )
        yield GaugeMetricFamily("modelway_calls_live", "Calls under way", self.live)
        yield GaugeMetricFamily(
            "modelway_engine_restarts", "Restarts of the local model since start", self.engine_restarts
        )

    def render(self) -> bytes:
        return generate_latest(self.registry)


def _histogram(name: str, documentation: str, spreads: dict[str, _Spread]) -> Metric:
    family = HistogramMetricFamily(name, documentation, labels=("protocol",))
    for protocol, spread in spreads.items():
        family.add_metric((protocol,), spread.cumulative(), spread.total)
    return family
