"""What the tests ask, in every protocol's own words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

Client = Literal["chat", "messages", "responses"]

CITY_SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
    },
    "required": ["city", "unit"],
    "additionalProperties": False,
}
DESCRIPTION = "The current weather in a city"
WEATHER_QUESTION = "What is the weather in Paris, in celsius?"

# `strict`, because OpenAI's streaming helper takes no other tools.
CHAT_TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": DESCRIPTION,
        "parameters": CITY_SCHEMA,
        "strict": True,
    },
}
MESSAGES_TOOL = {"name": "get_weather", "description": DESCRIPTION, "input_schema": CITY_SCHEMA}
RESPONSES_TOOL = {
    "type": "function",
    "name": "get_weather",
    "description": DESCRIPTION,
    "parameters": CITY_SCHEMA,
    "strict": True,
}

TOOLS: dict[Client, dict[str, Any]] = {
    "chat": CHAT_TOOL,
    "messages": MESSAGES_TOOL,
    "responses": RESPONSES_TOOL,
}
# A call is forced by naming its tool.
FORCED: dict[Client, dict[str, Any]] = {
    "chat": {"type": "function", "function": {"name": "get_weather"}},
    "messages": {"type": "tool", "name": "get_weather"},
    "responses": {"type": "function", "name": "get_weather"},
}
AUTO: dict[Client, Any] = {"chat": "auto", "messages": {"type": "auto"}, "responses": "auto"}


def question(client: Client, model: str, text: str, tokens_max: int = 100, **more: Any) -> dict[str, Any]:
    """An SDK's arguments for one user message."""
    turns = [{"role": "user", "content": text}]
    match client:
        case "chat":
            return {"model": model, "messages": turns, "max_completion_tokens": tokens_max, **more}
        case "messages":
            return {"model": model, "messages": turns, "max_tokens": tokens_max, **more}
        case "responses":
            return {"model": model, "input": turns, "max_output_tokens": tokens_max, **more}


def weather(client: Client, model: str, choice: Mapping[Client, Any] | None = None) -> dict[str, Any]:
    """The question about the weather, with the tool that answers it."""
    tools = {"tools": [TOOLS[client]], "tool_choice": (choice or AUTO)[client]}
    return question(client, model, WEATHER_QUESTION, **tools)


# How each protocol says why an answer ended.
STOPS: dict[Client, dict[str, str]] = {
    "chat": {"end": "stop", "tool_use": "tool_calls", "max_tokens": "length"},
    "messages": {"end": "end_turn", "tool_use": "tool_use", "max_tokens": "max_tokens"},
    "responses": {"end": "completed", "tool_use": "completed", "max_tokens": "max_output_tokens"},
}
