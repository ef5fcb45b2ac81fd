"""Cards of an installation's own, from a folder, over and beside those that come with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelway.config import Config, ConfigError
from modelway.supply import catalog_of


def folder_with(tmp_path: Path, text: str) -> Config:
    (tmp_path / "own.yaml").write_text(text)
    return Config(cards=str(tmp_path))


def test_a_card_of_ones_own_is_found_beside_ours(tmp_path: Path) -> None:
    text = "{id: lab/own-1, vendor: lab, name: Own 1, protocol: chat, context_window_tokens: 1234}"

    catalog = catalog_of(folder_with(tmp_path, text))

    own, ours = catalog.find("lab/own-1"), catalog.find("claude-opus-4-8")
    assert own is not None
    assert own.context_window_tokens == 1234
    assert ours is not None


def test_a_card_of_the_same_id_changes_only_what_it_states(tmp_path: Path) -> None:
    before = catalog_of(Config()).find("anthropic/claude-opus-4-8")

    after = catalog_of(folder_with(tmp_path, "{id: anthropic/claude-opus-4-8, max_output_tokens: 9}")).find(
        "anthropic/claude-opus-4-8"
    )

    assert before is not None
    assert after is not None
    assert after.max_output_tokens == 9
    assert after.context_window_tokens == before.context_window_tokens


@pytest.mark.parametrize("text", ["- a list", "a: ["])
def test_a_file_that_is_no_card_is_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=r"own\.yaml"):
        catalog_of(folder_with(tmp_path, text))
