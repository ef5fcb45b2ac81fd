"""LangChain's own standard suite for chat models, pointed at a gateway; run by pytest beside the frameworks.

`MODELWAY_URL`, `MODELWAY_KEY` and `MODELWAY_MODEL` say at which. Not collected with our own tests: it needs
an environment of its own (see test_langchain.py).
"""

from __future__ import annotations

import importlib
import os
from typing import Any

suite: Any = importlib.import_module("langchain_tests.integration_tests").ChatModelIntegrationTests

URL, KEY, MODEL = (os.environ[name] for name in ("MODELWAY_URL", "MODELWAY_KEY", "MODELWAY_MODEL"))
OPENAI: dict[str, Any] = {"model": MODEL, "base_url": URL + "/v1", "api_key": KEY, "stream_usage": True}

ANTHROPIC: dict[str, Any] = {"model": MODEL, "base_url": URL, "api_key": KEY, "max_tokens": 200}


class Common(suite):  # type: ignore[misc]  # the class is only known at run time
    """What every model behind the gateway can do."""

    # Its tests with pictures fetch one from the network; test_claude_code.py has one of its own.
    supports_image_inputs = False
    model_override_value = MODEL


class TestChat(Common):
    chat_model_class = importlib.import_module("langchain_openai").ChatOpenAI
    chat_model_params = OPENAI


class TestResponses(Common):
    chat_model_class = importlib.import_module("langchain_openai").ChatOpenAI
    chat_model_params = OPENAI | {"use_responses_api": True}


class TestMessages(Common):
    chat_model_class = importlib.import_module("langchain_anthropic").ChatAnthropic
    chat_model_params = ANTHROPIC


del suite, Common  # or they would be collected themselves
