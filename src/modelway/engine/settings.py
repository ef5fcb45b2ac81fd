"""What can be chosen about the local model, each with its unit, default and reason; and its backoff."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

THREADS_MAX = 8  # so small a model splits into too little work for more; a rule of thumb, not measured here


def default_threads() -> int:
    """The cores this process may use: of the machine, its affinity mask and its cgroup, the fewest."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        cores = min(cores, max(1, int(quota) // int(period)))
    except (OSError, ValueError):  # no cgroup v2 here, or "max": no quota
        pass
    return min(cores, THREADS_MAX)


def quiet(line: str) -> None:
    """Where log lines go unless the application says otherwise."""


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """`model_path` may be a function, run in a thread at the first start (it may download for minutes)."""

    model_path: Path | Callable[[], Path]
    data_dir: Path
    """Holds `engine.lock` and `engine.json`: one engine for all worker processes that share it."""
    model_alias: str = "local/smollm2"
    """The name the engine puts into replies, instead of a path of this machine."""
    threads: int = field(default_factory=default_threads)
    """All cores are the fastest alone (2 of 2: 130 tokens/s, 1 of 2: 85). Threads wait for each other at
    every layer, so next to a busy neighbour one less is better (2 of 2: 35, 1 of 2: 85)."""
    context_tokens: int = 4096
    """Per slot, prompt and answer together; 2 slots of it are 188 MB for SmolLM2, which was made for 8192."""
    slots: int = 2
    """Calls answered at the same time (each gets its share of the cores); the rest queue in the engine."""
    start: Literal["first_use", "at_start"] = "first_use"
    """`first_use` costs the first caller half a second and nobody else any memory."""
    gpu_layers: int = 0
    """Layers put on a GPU; the wheel from the index is built for the CPU."""
    prompt_cache_mib: int = 0
    """Memory for prompts of past calls beyond those in the slots. llama.cpp's own default is 8 GiB."""
    start_timeout_s: float = 60
    """From spawn to ready. SmolLM2 takes 0.5 s; a large file from a slow disk takes longer."""
    wait_s: float = 5
    """How long a call waits for a start or restart before it gets a 503."""
    stop_timeout_s: float = 2
    """From asking the child to leave to killing it; it leaves in 20 ms."""
    log: Callable[[str], None] = quiet

    def __post_init__(self) -> None:
        for name in ("threads", "context_tokens", "slots"):
            value = getattr(self, name)
            if value < 1:
                raise ValueError(f"engine.{name} is {value!r}; it has to be 1 or more")
        for name in ("gpu_layers", "prompt_cache_mib"):
            value = getattr(self, name)
            if value < 0:
                raise ValueError(f"engine.{name} is {value!r}; it has to be 0 or more")
        if self.start not in ("first_use", "at_start"):
            raise ValueError(f"engine.start is {self.start!r}; it has to be first_use or at_start")


BACKOFF_FIRST_S = 0.5  # about one load time: a child that fell over once is back before callers give up
BACKOFF_MAX_S = 30.0  # a child that never starts costs half a second of two cores every 30 s
# Having been ready this long, the next death counts as the first. Ten times what a start of SmolLM2 takes:
# a child that falls over each time after it costs a tenth of its time in starts, which no caller has to
# wait out in a growing backoff.
HEALTHY_AFTER_S = 5.0


class Backoff:
    """How long to wait before the next start: twice as long after each early death."""

    def __init__(self) -> None:
        self._next_s = BACKOFF_FIRST_S

    def after(self, lived_s: float) -> float:
        """Seconds to wait after a child that was ready for `lived_s` (0: never)."""
        if lived_s >= HEALTHY_AFTER_S:
            self._next_s = BACKOFF_FIRST_S
        delay_s = self._next_s
        self._next_s = min(delay_s * 2, BACKOFF_MAX_S)
        return delay_s
