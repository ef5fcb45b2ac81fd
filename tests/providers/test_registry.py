"""How a name finds its model."""

from __future__ import annotations

import pytest

from modelway.catalog import names
from modelway.catalog.cards import Catalog
from modelway.conversation.errors import CallError
from modelway.providers.registry import KINDS, Model, Provider, Registry, Target

LAB = Provider("lab", KINDS["openai-compatible"], "chat", "http://127.0.0.1:9001/v1")
SMALL = Model("small", (Target(LAB, "small-1"),), aliases=("little",))


@pytest.fixture
def registry() -> Registry:
    return Registry({"lab": LAB}, (SMALL,), Catalog(()))


def test_a_model_is_known_by_its_id_its_aliases_and_their_spellings(registry: Registry) -> None:
    for name in ("small", "little", "SMALL", " Little"):
        assert registry.known(name) == registry.find(name) == SMALL


def test_only_who_asks_for_a_model_hears_of_the_nearest(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names in a filter may be many and nobody's, and each search compares it with every name there is."""
    searched: list[str] = []
    nearest = names.nearest

    def noted(name: str, candidates: list[str], n: int) -> list[str]:
        searched.append(name)
        return nearest(name, candidates, n)

    monkeypatch.setattr(names, "nearest", noted)

    assert registry.known("smal") is None
    assert searched == []
    with pytest.raises(CallError, match="the nearest are small"):
        registry.find("smal")
    assert searched == ["smal"]
