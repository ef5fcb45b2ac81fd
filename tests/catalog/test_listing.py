"""The model object is what both vendors' SDKs parse, and says what the card says."""

from __future__ import annotations

import json
from datetime import datetime

import pytest
from anthropic.types import ModelInfo
from openai.types import Model

from modelway.catalog.cards import Card
from modelway.catalog.forms import flat
from modelway.catalog.listing import capabilities_object, model_object, models_object
from modelway.catalog.samples import request_example
from tests.catalog.breaking import CATALOG

EACH_CARD = pytest.mark.parametrize("card", CATALOG.all(), ids=lambda card: card.id)


@EACH_CARD
def test_anthropics_sdk_reads_the_model_object(card: Card) -> None:
    info = ModelInfo.model_validate_json(json.dumps(model_object(card)), strict=True)

    assert (info.id, info.display_name, info.lifecycle) == (card.id, card.name, card.lifecycle)
    assert (info.max_input_tokens, info.max_tokens) == (card.context_window_tokens, card.max_output_tokens)
    assert card.released is None or info.created_at.date() == card.released
    assert info.capabilities is not None
    assert info.capabilities.image_input.supported == card.capabilities.vision
    supported = {kind for kind, able in info.capabilities.thinking.types if able.supported}
    assert not card.capabilities.thinking_types or supported == card.capabilities.thinking_types


@EACH_CARD
def test_openais_sdk_reads_the_same_object(card: Card) -> None:
    model = Model.model_validate_json(json.dumps(model_object(card)), strict=True)

    assert (model.id, model.object, model.owned_by) == (card.id, "model", card.vendor)
    assert model.created == int(datetime.fromisoformat(model_object(card)["created_at"]).timestamp())
    assert model.shutdown_date == (card.retires and card.retires.isoformat())


def test_an_alias_is_listed_under_its_own_name_with_the_same_facts() -> None:
    card = CATALOG.find("claude-opus-4-8")
    assert card is not None
    as_alias, as_id = model_object(card, "claude-opus-4-8"), model_object(card)

    assert as_alias.pop("id") == "claude-opus-4-8"
    assert as_id.pop("id") == "anthropic/claude-opus-4-8"
    assert as_alias == as_id


def test_the_form_and_the_example_are_in_it_unless_left_out() -> None:
    card = CATALOG.find("smollm2")
    assert card is not None

    whole, bare = model_object(card, path="messages"), model_object(card, path=None)

    assert whole["form_schema"] == flat(card, "messages")
    assert whole["request_example"] == request_example(card, "messages")
    assert {"form_schema", "request_example"}.isdisjoint(bare)


def test_prices_are_shown_as_exact_decimals_and_a_model_without_any_shows_none() -> None:
    sol, llama = CATALOG.find("gpt-6-sol"), CATALOG.find("llama-4-scout")
    assert sol is not None
    assert llama is not None

    assert model_object(sol)["pricing"]["input"] == "2"
    assert model_object(sol)["pricing"]["tiers"][0]["above_prompt_tokens"] == 272_000
    assert model_object(llama)["pricing"] is None


def test_a_page_of_models_names_its_ends() -> None:
    models = [model_object(card, path=None) for card in CATALOG.all()[:3]]

    page = models_object(models, has_more=True)

    assert (page["object"], page["has_more"]) == ("list", True)
    assert (page["first_id"], page["last_id"]) == (models[0]["id"], models[2]["id"])
    assert models_object([])["first_id"] is None


def test_the_capabilities_of_the_newest_opus_are_published_as_it_has_them() -> None:
    card = CATALOG.find("claude-opus-5-5")
    assert card is not None

    published = capabilities_object(card)

    assert published["thinking"]["types"]["adaptive"] == {"supported": True}
    assert published["thinking"]["types"]["disabled"] == {"supported": False}
    assert published["effort"]["max"] == {"supported": True}
