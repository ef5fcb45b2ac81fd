"""What the people who run it see: metrics and log lines. Never a prompt, a key or a header's value."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable

import msgspec
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

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


class Metrics:
    """Counters of this process. `/metrics` renders them."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        labels = ("protocol", "model", "provider", "outcome")
        self._calls = Counter("modelway_calls_total", "Calls that ended", labels, registry=self.registry)
        self._tokens = Counter(
            "modelway_tokens_total", "Tokens, by bucket", ("model", "bucket"), registry=self.registry
        )
        self._cost = Counter(
            "modelway_cost_usd_total", "What calls cost, in USD", ("model",), registry=self.registry
        )
        self._duration = Histogram(
            "modelway_call_seconds",
            "From request to last byte",
            ("protocol",),
            buckets=BUCKETS,
            registry=self.registry,
        )
        self._first_token = Histogram(
            "modelway_first_token_seconds",
            "From request to first byte of the answer",
            ("protocol",),
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.live = Gauge("modelway_calls_live", "Calls under way", registry=self.registry)
        self.engine_restarts = Gauge(
            "modelway_engine_restarts", "Restarts of the local model since start", registry=self.registry
        )
        self._call_children: dict[tuple[str, str, str, str], Counter] = {}
        self._token_children: dict[tuple[str, str], Counter] = {}
        self._cost_children: dict[str, Counter] = {}
        self._duration_children: dict[str, Histogram] = {}
        self._first_children: dict[str, Histogram] = {}

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
        child = self._call_children.get(labels)
        if child is None:
            if len(self._call_children) >= SERIES_MAX:
                labels = (protocol, "other", provider, outcome)
            child = self._call_children[labels] = self._calls.labels(*labels)
        child.inc()
        duration = self._duration_children.get(protocol)
        if duration is None:
            duration = self._duration_children[protocol] = self._duration.labels(protocol)
            self._first_children[protocol] = self._first_token.labels(protocol)
        duration.observe(seconds)
        if first_token_s is not None:
            self._first_children[protocol].observe(first_token_s)

    def tokens_used(self, model: str, bucket: str, count: int) -> None:
        child = self._token_children.get((model, bucket))
        if child is None:
            child = self._token_children[(model, bucket)] = self._tokens.labels(model, bucket)
        child.inc(count)

    def money_spent(self, model: str, nano_usd: int) -> None:
        child = self._cost_children.get(model)
        if child is None:
            child = self._cost_children[model] = self._cost.labels(model)
        child.inc(nano_usd / 1e9)

    def render(self) -> bytes:
        return generate_latest(self.registry)
