"""What a bench answers: figures with units and goals, and the settings every bench is given."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class Goal:
    """What a figure is held against; `reason` is only for figures that need one."""

    direction: Literal["at least", "at most"]
    value: float

    def __str__(self) -> str:
        return f"{'≥' if self.direction == 'at least' else '≤'} {self.value:g}"

    def is_met_by(self, value: float) -> bool:
        return value >= self.value if self.direction == "at least" else value <= self.value


def at_least(value: float) -> Goal:
    return Goal("at least", value)


def at_most(value: float) -> Goal:
    return Goal("at most", value)


@dataclass(frozen=True)
class Figure:
    """One measured number. `rounds` are the values it is the median of, in the order they were taken."""

    name: str
    value: float
    unit: str
    goal: Goal | None = None
    rounds: tuple[float, ...] = ()

    @property
    def verdict(self) -> str:
        if self.goal is None:
            return ""
        return "met" if self.goal.is_met_by(self.value) else "**missed**"


def median_of(name: str, rounds: Sequence[float], unit: str, goal: Goal | None = None) -> Figure:
    return Figure(name, statistics.median(rounds), unit, goal, tuple(rounds))


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0 to 1) of the values lie; nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@dataclass(frozen=True)
class Settings:
    """What one run of the benches works with."""

    folder: Path  # scratch, on the disk that a data directory would be on
    server_core: int  # the gateway or nginx, alone
    load_core: int  # the load and the scripted upstream
    rounds: int
    seconds: float  # of load per round

    def sub(self, name: str) -> Path:
        """A new folder of that name inside the scratch folder."""
        path = self.folder / name
        path.mkdir(parents=True, exist_ok=True)
        return path
