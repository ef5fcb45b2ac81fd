"""What a customer's program does with the official SDKs, one JSON line in, one out.

Run by the interpreter of either SDK generation (so it imports nothing of this repository) and kept
running, because importing an SDK takes longer than a call. A line is
`{"use": NAME, "base_url", "api_key", "arguments": {…}, …}`; the answer is what the program saw, or
`{"error": {…}}` with the exception's classes and attributes.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import openai
import pydantic

TIMEOUT_S = 60.0

Asked = dict[str, Any]
Seen = dict[str, Any]


def openai_client(asked: Asked) -> openai.OpenAI:
    return openai.OpenAI(
        base_url=asked["base_url"] + "/v1",
        api_key=asked["api_key"],
        max_retries=asked.get("max_retries", 0),
        timeout=TIMEOUT_S,
    )


def anthropic_client(asked: Asked) -> anthropic.Anthropic:
    return anthropic.Anthropic(
        base_url=asked["base_url"],
        api_key=asked["api_key"],
        max_retries=asked.get("max_retries", 0),
        timeout=TIMEOUT_S,
    )


def seen(text: str, calls: list[tuple[str, str, Any]], stop: str | None, usage: Any, model: str) -> Seen:
    """One shape for both protocols; `calls` are id, name, arguments (text or object)."""
    return {
        "text": text,
        "calls": [[name, json.loads(data) if isinstance(data, str) else data] for _, name, data in calls],
        "call_ids": [id for id, _, _ in calls],
        "stop": stop,
        "usage": usage,
        "model": model,
    }


def completion_seen(completion: Any) -> Seen:
    choice = completion.choices[0]
    calls = [(c.id, c.function.name, c.function.arguments) for c in choice.message.tool_calls or []]
    usage = completion.usage and [completion.usage.prompt_tokens, completion.usage.completion_tokens]
    return seen(choice.message.content or "", calls, choice.finish_reason, usage, completion.model)


def message_seen(message: Any) -> Seen:
    text = "".join(block.text for block in message.content if block.type == "text")
    calls = [(block.id, block.name, block.input) for block in message.content if block.type == "tool_use"]
    usage = [message.usage.input_tokens, message.usage.output_tokens]
    # Anthropic counts what came from a cache apart.
    cached = (message.usage.cache_read_input_tokens or 0) + (message.usage.cache_creation_input_tokens or 0)
    whole = seen(text, calls, message.stop_reason, usage, message.model)
    return {**whole, "prompt_tokens": message.usage.input_tokens + cached}


def response_seen(response: Any) -> Seen:
    calls = [
        (item.call_id, item.name, item.arguments) for item in response.output if item.type == "function_call"
    ]
    details = response.incomplete_details
    stop = details.reason if details else response.status
    usage = response.usage and [response.usage.input_tokens, response.usage.output_tokens]
    return seen(response.output_text, calls, stop, usage, response.model)


def chat_whole(asked: Asked) -> Seen:
    return completion_seen(openai_client(asked).chat.completions.create(**asked["arguments"]))


def chat_helper(asked: Asked) -> Seen:
    with openai_client(asked).chat.completions.stream(
        **asked["arguments"], stream_options={"include_usage": True}
    ) as stream:
        kinds = [event.type for event in stream]
        return {**completion_seen(stream.get_final_completion()), "events": kinds}


def chat_raw(asked: Asked) -> Seen:
    """Folds the chunks as programs do that do not use the helper."""
    stream = openai_client(asked).chat.completions.create(
        **asked["arguments"], stream=True, stream_options={"include_usage": True}
    )
    text, stop, usage, model = "", None, None, ""
    calls: dict[int, list[str]] = {}
    chunks = 0
    for chunk in stream:
        chunks += 1
        model = chunk.model
        usage = [chunk.usage.prompt_tokens, chunk.usage.completion_tokens] if chunk.usage else usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            stop = choice.finish_reason or stop
            for piece in choice.delta.tool_calls or []:
                call = calls.setdefault(piece.index, ["", "", ""])
                call[0] += piece.id or ""
                call[1] += (piece.function and piece.function.name) or ""
                call[2] += (piece.function and piece.function.arguments) or ""
    assert list(calls) == list(range(len(calls))), f"tool calls are not counted from 0: {list(calls)}"
    found = [(call[0], call[1], call[2]) for call in calls.values()]
    return {**seen(text, found, stop, usage, model), "chunks": chunks}


class Weather(pydantic.BaseModel):
    """What the structured answer has to be."""

    model_config = pydantic.ConfigDict(extra="forbid")

    city: str
    sunny: bool


def chat_parse(asked: Asked) -> Seen:
    completion = openai_client(asked).chat.completions.parse(**asked["arguments"], response_format=Weather)
    parsed = completion.choices[0].message.parsed
    return {**completion_seen(completion), "parsed": parsed and parsed.model_dump()}


def messages_whole(asked: Asked) -> Seen:
    return message_seen(anthropic_client(asked).messages.create(**asked["arguments"]))


def messages_helper(asked: Asked) -> Seen:
    with anthropic_client(asked).messages.stream(**asked["arguments"]) as stream:
        kinds = [event.type for event in stream]
        return {**message_seen(stream.get_final_message()), "events": kinds}


def messages_raw(asked: Asked) -> Seen:
    text, stop, model = "", None, ""
    blocks: dict[int, Any] = {}
    usage = [0, 0]
    chunks = 0
    for event in anthropic_client(asked).messages.create(**asked["arguments"], stream=True):
        chunks += 1
        if event.type == "message_start":
            model = event.message.model
            usage = [event.message.usage.input_tokens, event.message.usage.output_tokens]
        elif event.type == "content_block_start" and event.content_block.type == "tool_use":
            blocks[event.index] = [event.content_block.id, event.content_block.name, ""]
        elif event.type == "content_block_delta" and event.delta.type == "text_delta":
            text += event.delta.text
        elif event.type == "content_block_delta" and event.delta.type == "input_json_delta":
            blocks[event.index][2] += event.delta.partial_json
        elif event.type == "message_delta":
            stop = event.delta.stop_reason
            if event.usage.input_tokens is not None:
                usage[0] = event.usage.input_tokens
            usage[1] = event.usage.output_tokens
    calls = [(block[0], block[1], block[2] or "{}") for block in blocks.values()]
    return {**seen(text, calls, stop, usage, model), "chunks": chunks}


def count_tokens(asked: Asked) -> Seen:
    return {"input_tokens": anthropic_client(asked).messages.count_tokens(**asked["arguments"]).input_tokens}


def responses_whole(asked: Asked) -> Seen:
    return response_seen(openai_client(asked).responses.create(**asked["arguments"]))


def responses_helper(asked: Asked) -> Seen:
    with openai_client(asked).responses.stream(**asked["arguments"]) as stream:
        kinds = [event.type for event in stream]
        return {**response_seen(stream.get_final_response()), "events": kinds}


def responses_raw(asked: Asked) -> Seen:
    last: Any = None
    text, chunks = "", 0
    for event in openai_client(asked).responses.create(**asked["arguments"], stream=True):
        assert event.sequence_number == chunks, f"event {chunks} is numbered {event.sequence_number}"
        chunks += 1
        text += event.delta if event.type == "response.output_text.delta" else ""
        last = event
    whole = response_seen(last.response)
    assert whole["text"] == text, f"the deltas say {text!r}, the last event {whole['text']!r}"
    return {**whole, "chunks": chunks}


def openai_models(asked: Asked) -> Seen:
    client = openai_client(asked)
    listed = [[model.id, model.object, model.created, model.owned_by] for model in client.models.list()]
    return {"models": listed}


def openai_model(asked: Asked) -> Seen:
    model = openai_client(asked).models.retrieve(asked["id"])
    return {"id": model.id, "object": model.object, "created": model.created, "owned_by": model.owned_by}


def anthropic_models(asked: Asked) -> Seen:
    page = anthropic_client(asked).models.list(limit=1000)
    return {"models": [[m.id, m.type, m.created_at.isoformat(), m.display_name] for m in page]}


def anthropic_model(asked: Asked) -> Seen:
    model = anthropic_client(asked).models.retrieve(asked["id"])
    created = model.created_at.isoformat()
    return {"id": model.id, "type": model.type, "created": created, "display_name": model.display_name}


USES: dict[str, Callable[[Asked], Seen]] = {
    "chat whole": chat_whole,
    "chat helper": chat_helper,
    "chat raw": chat_raw,
    "chat parse": chat_parse,
    "messages whole": messages_whole,
    "messages helper": messages_helper,
    "messages raw": messages_raw,
    "count tokens": count_tokens,
    "responses whole": responses_whole,
    "responses helper": responses_helper,
    "responses raw": responses_raw,
    "openai models": openai_models,
    "openai model": openai_model,
    "anthropic models": anthropic_models,
    "anthropic model": anthropic_model,
}


def failure(error: Exception) -> Seen:
    """What a program can learn from an exception."""
    known = ("status_code", "type", "code", "param", "request_id", "message", "body")
    shown = {name: getattr(error, name, None) for name in known}
    classes = [
        kind.__name__ for kind in type(error).__mro__ if kind not in (Exception, BaseException, object)
    ]
    response = getattr(error, "response", None)
    shown["headers"] = {name.lower(): value for name, value in response.headers.items()} if response else {}
    return {"error": {"classes": classes, "text": str(error), **shown}}


def answers() -> Iterator[Seen]:
    yield {name: importlib.metadata.version(name) for name in ("anthropic", "openai")}
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            yield USES[asked["use"]](asked)
        # Every failure is an answer here: the test decides which one was right.
        except Exception as error:
            yield failure(error)


if __name__ == "__main__":
    for answer in answers():
        print(json.dumps(answer, default=str), flush=True)
