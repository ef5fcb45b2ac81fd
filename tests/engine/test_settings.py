"""The backoff's arithmetic and the settings' refusals."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelway.engine.settings import Backoff, EngineSettings, default_threads


def test_each_early_death_doubles_the_wait_up_to_half_a_minute() -> None:
    backoff = Backoff()

    assert [backoff.after(lived_s=1) for _ in range(9)] == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


def test_five_seconds_of_health_begin_the_waits_again() -> None:
    backoff = Backoff()
    for _ in range(5):
        backoff.after(lived_s=0)

    assert backoff.after(lived_s=4.9) == 16
    assert backoff.after(lived_s=5) == 0.5
    assert backoff.after(lived_s=0) == 1


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("threads", 0, "engine.threads is 0; it has to be 1 or more"),
        ("slots", -1, "engine.slots is -1"),
        ("context_tokens", 0, "engine.context_tokens is 0"),
        ("gpu_layers", -1, "engine.gpu_layers is -1; it has to be 0 or more"),
        ("start", "later", "engine.start is 'later'; it has to be first_use or at_start"),
    ],
)
def test_a_setting_out_of_range_is_refused_with_what_would_be_right(
    tmp_path: Path, name: str, value: object, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        EngineSettings(tmp_path / "a.gguf", tmp_path, **{name: value})  # type: ignore[arg-type]  # the point


def test_the_default_uses_at_least_one_core_and_not_more_than_help() -> None:
    assert 1 <= default_threads() <= 8
