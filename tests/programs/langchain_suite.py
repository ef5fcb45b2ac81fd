"""LangChain's own standard suite for chat models, pointed at a gateway; run by pytest beside the frameworks.

`MODELWAY_URL` and `MODELWAY_KEY` say at which, `MODELWAY_MODELS` what is asked there. Not collected with our
own tests: it needs an environment of its own (see test_langchain.py).
"""

from __future__ import annotations

import importlib
import os
from itertools import product
from typing import Any

suite: Any = importlib.import_module("langchain_tests.integration_tests").ChatModelIntegrationTests

URL, KEY, MODELS = (os.environ[name] for name in ("MODELWAY_URL", "MODELWAY_KEY", "MODELWAY_MODELS"))
ChatOpenAI: Any = importlib.import_module("langchain_openai").ChatOpenAI
ChatAnthropic: Any = importlib.import_module("langchain_anthropic").ChatAnthropic
OPENAI: dict[str, Any] = {"base_url": URL + "/v1", "api_key": KEY, "stream_usage": True}
DIALECTS: dict[str, tuple[Any, dict[str, Any]]] = {
    "Chat": (ChatOpenAI, OPENAI),
    "Responses": (ChatOpenAI, OPENAI | {"use_responses_api": True}),
    "Messages": (ChatAnthropic, {"base_url": URL, "api_key": KEY, "max_tokens": 200}),
}

# One process for all, which imports the frameworks once; pytest finds the classes by their names.
for model, (dialect, (chat_model, params)) in product(MODELS.split(), DIALECTS.items()):
    facts = {
        "chat_model_class": chat_model,
        "chat_model_params": {"model": model, **params},
        "model_override_value": model,
        # Its tests with pictures fetch one from the network; test_claude_code.py has one of its own.
        "supports_image_inputs": False,
    }
    name = f"Test{dialect}For{model}"
    globals()[name] = type(name, (suite,), facts)

del suite  # or it would be collected itself
