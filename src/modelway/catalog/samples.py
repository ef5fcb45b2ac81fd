"""A first request to a model, written from its card: as a body, for curl, and for the vendors' SDKs.

Base URL and key come in, so that a page can show its own address and a placeholder for the key.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Literal

from modelway.catalog import limits
from modelway.catalog.capabilities import PATHS, Path
from modelway.catalog.cards import Card

Language = Literal["curl", "python", "javascript"]
LANGUAGES: tuple[Language, ...] = ("curl", "python", "javascript")

PROMPT = "Why is the sky blue? Answer in two sentences."
# Two sentences need fewer than 256 tokens; a model that thinks spends most of its limit on that.
ANSWER_TOKENS = 256
ANSWER_TOKENS_WITH_THINKING = 4096
TEMPERATURE = 0.7

ROUTES: dict[Path, str] = {
    "chat": "/v1/chat/completions",
    "responses": "/v1/responses",
    "messages": "/v1/messages",
}
_IDENTIFIER_KEY = re.compile(r'^(\s*)"([A-Za-z_]\w*)":', re.MULTILINE)


def request_example(card: Card, path: Path) -> dict[str, Any]:
    """The smallest body that shows what this model takes: sampling only where it can be chosen."""
    body: dict[str, Any] = {"model": card.id}
    if path == "responses":
        body["input"] = PROMPT
    elif path == "messages":
        body |= {"max_tokens": _tokens(card, path), "messages": [{"role": "user", "content": PROMPT}]}
    else:
        body["messages"] = [{"role": "user", "content": PROMPT}]
    if path != "messages":
        name = "max_output_tokens" if path == "responses" else card.capabilities.max_tokens_field
        body[name] = _tokens(card, path)
    effort = _effort(card, path)
    if effort is not None:
        body |= _effort_field(path, effort)
    # Anthropic's newest SDKs send version 2026-10-21 of its API, which has no sampling fields.
    if path != "messages" and card.capabilities.sampling != "refused" and not limits.thinks(card, path, body):
        body["temperature"] = TEMPERATURE
    return body


def sample(card: Card, path: Path, language: Language, *, base_url: str, api_key: str) -> str:
    """The example as text that runs as printed.

    `base_url` is the gateway's origin (`http://127.0.0.1:8080`), `api_key` a key or what stands for
    one; in curl it may be a shell variable such as `$MODELWAY_API_KEY`.
    """
    return _WRITERS[language](path, request_example(card, path), base_url.rstrip("/"), api_key)


def samples(card: Card, *, base_url: str, api_key: str) -> dict[Path, dict[Language, str]]:
    """Every sample of a model, per path and language."""
    return {path: _by_language(card, path, base_url, api_key) for path in PATHS}


def _by_language(card: Card, path: Path, base_url: str, api_key: str) -> dict[Language, str]:
    return {name: sample(card, path, name, base_url=base_url, api_key=api_key) for name in LANGUAGES}


def _tokens(card: Card, path: Path) -> int:
    reasons = bool(limits.efforts(card, path)) or limits.thinks(card, path, {})
    wanted = ANSWER_TOKENS_WITH_THINKING if reasons else ANSWER_TOKENS
    return wanted if card.max_output_tokens is None else min(wanted, card.max_output_tokens)


def _effort(card: Card, path: Path) -> str | None:
    """The effort shown: the model's default, else its middle one; none where effort would mean a budget."""
    offered = [effort for effort in limits.efforts(card, path) if effort != "none"]
    if not card.capabilities.efforts or not offered:
        return None
    return limits.default_effort(card, path) or offered[len(offered) // 2]


def _effort_field(path: Path, effort: str) -> dict[str, Any]:
    if path == "messages":
        return {"output_config": {"effort": effort}}
    return {"reasoning": {"effort": effort}} if path == "responses" else {"reasoning_effort": effort}


def _curl(path: Path, body: Mapping[str, Any], base_url: str, api_key: str) -> str:
    version = '  -H "anthropic-version: 2023-06-01" \\\n' if path == "messages" else ""
    text = json.dumps(body, indent=2, ensure_ascii=False).replace("'", "'\\''")
    return (
        f"curl {base_url}{ROUTES[path]} \\\n"
        f'  -H "Authorization: Bearer {api_key}" \\\n'
        f"{version}"
        '  -H "Content-Type: application/json" \\\n'
        f"  -d '{text}'\n"
    )


def _python(path: Path, body: Mapping[str, Any], base_url: str, api_key: str) -> str:
    vendor, url, call, answer = _PYTHON[path]
    arguments = "".join(f"    {name}={_python_value(value)},\n" for name, value in body.items())
    client = vendor.capitalize() if vendor == "anthropic" else "OpenAI"
    return (
        f"from {vendor} import {client}\n\n"
        f"client = {client}(base_url={_python_value(base_url + url)}, api_key={_python_value(api_key)})\n"
        f"answer = client.{call}(\n{arguments})\n"
        f"print({answer})\n"
    )


# Path -> SDK, what follows the origin in its base URL, the call, where the text is.
_PYTHON: dict[Path, tuple[str, str, str, str]] = {
    "chat": ("openai", "/v1", "chat.completions.create", "answer.choices[0].message.content"),
    "responses": ("openai", "/v1", "responses.create", "answer.output_text"),
    "messages": (
        "anthropic",
        "",
        "messages.create",
        '"".join(block.text for block in answer.content if block.type == "text")',
    ),
}


def _python_value(value: Any) -> str:
    if isinstance(value, Mapping):
        return (
            "{"
            + ", ".join(f"{_python_value(key)}: {_python_value(item)}" for key, item in value.items())
            + "}"
        )
    if isinstance(value, list):
        return "[" + ", ".join(map(_python_value, value)) + "]"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def _javascript(path: Path, body: Mapping[str, Any], base_url: str, api_key: str) -> str:
    package, name, url, call, answer = _JAVASCRIPT[path]
    options = f"{{ baseURL: {json.dumps(base_url + url)}, apiKey: {json.dumps(api_key)} }}"
    argument = _IDENTIFIER_KEY.sub(r"\1\2:", json.dumps(body, indent=2, ensure_ascii=False))
    return (
        f'import {name} from "{package}";\n\n'
        f"const client = new {name}({options});\n"
        f"const answer = await client.{call}({argument});\n"
        f"console.log({answer});\n"
    )


_JAVASCRIPT: dict[Path, tuple[str, str, str, str, str]] = {
    "chat": ("openai", "OpenAI", "/v1", "chat.completions.create", "answer.choices[0].message.content"),
    "responses": ("openai", "OpenAI", "/v1", "responses.create", "answer.output_text"),
    "messages": (
        "@anthropic-ai/sdk",
        "Anthropic",
        "",
        "messages.create",
        'answer.content.filter((block) => block.type === "text").map((block) => block.text).join("")',
    ),
}

_WRITERS: dict[Language, Callable[[Path, Mapping[str, Any], str, str], str]] = {
    "curl": _curl,
    "python": _python,
    "javascript": _javascript,
}
