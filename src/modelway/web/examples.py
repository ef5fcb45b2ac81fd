"""The request examples as pages print them: they run as they are, with the key in the environment."""

from __future__ import annotations

import json

from modelway.catalog.capabilities import Path
from modelway.catalog.cards import Card
from modelway.catalog.samples import LANGUAGES, Language, sample

VARIABLE = "MODELWAY_API_KEY"
LANGUAGE_NAMES: dict[Language, str] = {"curl": "curl", "python": "Python", "javascript": "JavaScript"}
PATH_NAMES: dict[Path, str] = {"chat": "Chat Completions", "responses": "Responses", "messages": "Messages"}

# Stands where the key goes until it is replaced by how the language reads the environment.
_PLACE = "the-key-goes-here"
_FROM_ENVIRONMENT: dict[Language, tuple[str, str]] = {
    "curl": ("", f"${VARIABLE}"),
    "python": ("import os\n\n", f'os.environ["{VARIABLE}"]'),
    "javascript": ("", f"process.env.{VARIABLE}"),
}


def example(card: Card, model: str, path: Path, language: Language, origin: str) -> str:
    """One example that names `model` and reads its key from `MODELWAY_API_KEY`."""
    before, key = _FROM_ENVIRONMENT[language]
    text = sample(card, path, language, base_url=origin, api_key=_PLACE)
    written = _PLACE if language == "curl" else json.dumps(_PLACE)
    text = text.replace(json.dumps(card.id), json.dumps(model), 1)
    return before + text.replace(written, key)


def language_of(word: str | None) -> Language:
    return next((language for language in LANGUAGES if language == word), "curl")
