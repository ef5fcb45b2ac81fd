"""Cards of an installation's own, from a folder, over and beside those that come with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelway.config import Config, ConfigError, EngineConfig, ProviderConfig
from modelway.conversation.errors import CallError
from modelway.supply import Supply, catalog_of


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


def test_a_file_says_in_which_line_it_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"own\.yaml: .*line 2: `name`: given twice"):
        catalog_of(folder_with(tmp_path, "name: x\nname: y\nid: lab/own-1"))


def test_prices_of_ones_own_lie_over_the_listed_ones(tmp_path: Path) -> None:
    text = "{id: anthropic/claude-opus-4-8, prices: {input: 1}}"

    card = catalog_of(folder_with(tmp_path, text)).find("anthropic/claude-opus-4-8")

    assert card is not None
    assert card.prices is not None
    assert (card.prices.input, card.prices.output) == ("1", "25")


def test_a_card_named_after_a_provider_is_listed_there_and_the_provider_takes_other_names_still() -> None:
    lab = ProviderConfig("lab", "openai-compatible", "http://127.0.0.1:9/v1")
    supply = Supply(Config(providers=(lab,), engine=EngineConfig(start="never")), {})
    text = (
        "{id: lab/own-1, vendor: lab, name: Own, protocol: chat, aliases: [own-one], max_output_tokens: 9,"
        " prices: {input: 2, output: 3}}"
    )

    registry = supply.registry([text])

    own = registry.find("lab/own-1")
    assert {registry.find(name) for name in ("own-1", "own-one", "lab/own-one", "Lab/Own-1")} == {own}
    assert own.targets[0].capabilities.max_output_tokens == 9
    assert own.price is not None
    assert own.price.output == 3 * 10**9
    assert registry.find("lab/anything").listed is False


def test_a_provider_whose_vendor_has_cards_takes_no_other_names() -> None:
    claude = ProviderConfig("claude", "anthropic")
    registry = Supply(Config(providers=(claude,), engine=EngineConfig(start="never")), {}).registry()

    assert registry.find("claude/claude-opus-4-8").id == "claude/claude-opus-4-8"
    with pytest.raises(CallError, match="no model 'claude/anything'"):
        registry.find("claude/anything")
