"""The official SDKs, both generations, on the real local model: what a new user sees."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.fix_gateway import Gateway
from tests.whole.questions import FORCED, STOPS, Client, question, weather
from tests.whole.sdks import Sdk
from tests.whole.wire import call

MODEL = "local/smollm2"
CLIENTS: tuple[Client, ...] = ("chat", "messages", "responses")
STREAMS = ("helper", "raw")
TOKENS = 16
SHORT_QUESTION = "Answer with one word: what is the capital of France?"
TOKENS_TO_THE_END = 40


def test_both_generations_of_the_sdks_are_what_they_claim(sdk: Sdk) -> None:
    majors = {name: int(version.split(".")[0]) for name, version in sdk.versions.items()}

    assert majors["openai"] in {2, 3}
    assert majors["anthropic"] == {2: 0, 3: 2}[majors["openai"]]


@pytest.mark.parametrize("client", CLIENTS)
def test_a_question_gets_an_answer(sdk: Sdk, local_gateway: Gateway, client: Client) -> None:
    seen = sdk.use(f"{client} whole", local_gateway, question(client, MODEL, "Say hello.", TOKENS))

    assert_speaks(seen, client)


@pytest.mark.parametrize("way", STREAMS)
@pytest.mark.parametrize("client", CLIENTS)
def test_a_streamed_answer_arrives_in_pieces(
    sdk: Sdk, local_gateway: Gateway, client: Client, way: str
) -> None:
    # OpenAI's helpers take no answer that was cut, so this one is short and always the same.
    surest = {} if client == "messages" else {"temperature": 0}
    asked = question(client, MODEL, SHORT_QUESTION, TOKENS_TO_THE_END, **surest)

    seen = sdk.use(f"{client} {way}", local_gateway, asked)

    assert_speaks(seen, client, TOKENS_TO_THE_END)
    assert seen.get("chunks", len(seen.get("events", ()))) > 4


def prompt_tokens(seen: dict[str, Any]) -> int:
    """All the model read, from a cache or not."""
    return int(seen.get("prompt_tokens", seen["usage"][0]))


def assert_speaks(seen: dict[str, Any], client: Client, tokens_max: int = TOKENS) -> None:
    assert "error" not in seen, seen
    assert seen["text"].strip()
    assert seen["model"] == MODEL
    assert seen["stop"] in {STOPS[client]["end"], STOPS[client]["max_tokens"]}
    assert prompt_tokens(seen) > 0
    assert 0 < seen["usage"][1] <= tokens_max


@pytest.mark.parametrize("client", CLIENTS)
def test_a_conversation_of_several_turns_and_a_system_prompt_is_carried(
    sdk: Sdk, local_gateway: Gateway, client: Client
) -> None:
    turns = [
        {"role": "user", "content": "My name is Ada."},
        {"role": "assistant", "content": "Nice to meet you, Ada."},
        {"role": "user", "content": "What is my name?"},
    ]
    short = question(client, MODEL, "What is my name?", TOKENS)
    long: dict[str, Any]
    match client:
        case "chat":
            long = {**short, "messages": [{"role": "system", "content": "Be brief."}, *turns]}
        case "messages":
            long = {**short, "messages": turns, "system": "Be brief."}
        case "responses":
            long = {**short, "input": turns, "instructions": "Be brief."}

    alone = sdk.use(f"{client} whole", local_gateway, short)
    with_history = sdk.use(f"{client} whole", local_gateway, long)

    assert "error" not in with_history, with_history
    assert prompt_tokens(with_history) > prompt_tokens(alone) + 10, "the earlier turns were not read"


@pytest.mark.parametrize("way", ["whole", *STREAMS])
@pytest.mark.parametrize("client", CLIENTS)
def test_a_forced_tool_is_called_with_arguments_of_its_schema(
    sdk: Sdk, local_gateway: Gateway, client: Client, way: str
) -> None:
    seen = sdk.use(f"{client} {way}", local_gateway, weather(client, MODEL, FORCED))

    assert "error" not in seen, seen
    assert seen["calls"], seen
    for name, arguments in seen["calls"]:
        assert name == "get_weather"
        assert set(arguments) == {"city", "unit"}
        assert isinstance(arguments["city"], str)
        assert arguments["unit"] in {"celsius", "fahrenheit"}
    # OpenAI ends a call to a named tool with `stop`; both words are in use.
    assert seen["stop"] in {STOPS[client]["tool_use"], STOPS[client]["end"]}
    if client == "messages":
        assert seen["stop"] == "tool_use"


@pytest.mark.parametrize("way", ["whole", "raw"])
@pytest.mark.parametrize("client", CLIENTS)
def test_a_tool_on_auto_is_called_or_the_model_speaks(
    sdk: Sdk, local_gateway: Gateway, client: Client, way: str
) -> None:
    seen = sdk.use(f"{client} {way}", local_gateway, weather(client, MODEL))

    assert "error" not in seen, seen
    assert bool(seen["calls"]) or bool(seen["text"].strip())
    for name, arguments in seen["calls"]:
        assert name == "get_weather"
        assert isinstance(arguments, dict)
    if seen["calls"] and client != "responses":
        assert seen["stop"] == STOPS[client]["tool_use"]


@pytest.mark.parametrize("client", CLIENTS)
def test_a_tools_result_is_answered(sdk: Sdk, local_gateway: Gateway, client: Client) -> None:
    first = sdk.use(f"{client} whole", local_gateway, weather(client, MODEL, FORCED))
    name, arguments = first["calls"][0]
    call_id = first["call_ids"][0]
    asked = weather(client, MODEL)
    asked.pop("tool_choice")
    match client:
        case "chat":
            function = {"name": name, "arguments": json.dumps(arguments)}
            called = {
                "role": "assistant",
                "tool_calls": [{"id": call_id, "type": "function", "function": function}],
            }
            asked["messages"] += [
                called,
                {"role": "tool", "tool_call_id": call_id, "content": "18 degrees, sunny"},
            ]
        case "messages":
            use = {"type": "tool_use", "id": call_id, "name": name, "input": arguments}
            result = {"type": "tool_result", "tool_use_id": call_id, "content": "18 degrees, sunny"}
            asked["messages"] += [
                {"role": "assistant", "content": [use]},
                {"role": "user", "content": [result]},
            ]
        case "responses":
            item = {
                "type": "function_call",
                "call_id": call_id,
                "name": name,
                "arguments": json.dumps(arguments),
            }
            output = {"type": "function_call_output", "call_id": call_id, "output": "18 degrees, sunny"}
            asked["input"] += [item, output]

    seen = sdk.use(f"{client} whole", local_gateway, asked)

    assert "error" not in seen, seen
    assert seen["text"].strip() or seen["calls"]
    assert prompt_tokens(seen) > prompt_tokens(first)


def test_a_json_schema_on_chat_is_kept(sdk: Sdk, local_gateway: Gateway) -> None:
    asked = question("chat", MODEL, "It is sunny in Paris. Answer with the city and whether it is sunny.")

    seen = sdk.use("chat parse", local_gateway, asked)

    assert "error" not in seen, seen
    assert set(seen["parsed"]) == {"city", "sunny"}
    assert isinstance(seen["parsed"]["sunny"], bool)


def test_max_tokens_cuts_and_says_so(sdk: Sdk, local_gateway: Gateway) -> None:
    for client in CLIENTS:
        tokens = 16 if client == "responses" else 3
        asked = question(client, MODEL, "Tell a long story about a lighthouse.", tokens)
        seen = sdk.use(f"{client} whole", local_gateway, asked)
        assert seen["stop"] == STOPS[client]["max_tokens"], seen
        assert seen["usage"][1] == tokens


@pytest.mark.parametrize(("client", "field"), [("chat", "stop"), ("messages", "stop_sequences")])
def test_a_stop_sequence_ends_the_answer_and_is_not_part_of_it(
    sdk: Sdk, local_gateway: Gateway, client: Client, field: str
) -> None:
    asked = question(client, MODEL, "Say hello in a long sentence.", TOKENS)

    seen = sdk.use(f"{client} whole", local_gateway, {**asked, field: [" ", "\n", "1"]})

    assert "error" not in seen, seen
    assert not {" ", "\n", "1"} & set(seen["text"])
    # Chat's `stop` does not tell a sequence that was hit from an answer that was over.
    assert seen["stop"] in {"chat": {"stop"}, "messages": {"stop_sequence", "end_turn"}}[client]


# Which exception each mistake is: status, arguments, OpenAI's class, Anthropic's (newest, previous).
MISTAKES: list[tuple[int, dict[str, Any], str, tuple[str, ...]]] = [
    (401, {"api_key": "sk-mw-" + "0" * 38}, "AuthenticationError", ("AuthenticationError",)),
    (404, {"model": "smollm3"}, "NotFoundError", ("NotFoundError",)),
    (400, {"extra_body": {"temperature": "warm"}}, "BadRequestError", ("BadRequestError",)),
    (413, {"padding": 33 * 1024 * 1024}, "APIStatusError", ("ContentTooLargeError", "RequestTooLargeError")),
]


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(("status", "mistake", "openai_class", "anthropic_classes"), MISTAKES)
@pytest.mark.parametrize("way", ["whole", "raw"])
def test_a_mistake_is_the_right_exception(
    sdk: Sdk,
    local_gateway: Gateway,
    client: Client,
    status: int,
    mistake: dict[str, Any],
    openai_class: str,
    anthropic_classes: tuple[str, ...],
    way: str,
) -> None:
    changes = dict(mistake)
    key = changes.pop("api_key", local_gateway.api_key)
    text = "x" * changes.pop("padding", 5)
    asked = {**question(client, MODEL, text, TOKENS), **changes}

    error = sdk.use(f"{client} {way}", local_gateway, asked, api_key=key)["error"]

    assert error["status_code"] == status, error
    if client == "messages":
        assert set(anthropic_classes) & set(error["classes"]), error
    else:
        assert openai_class in error["classes"], error
        assert error["code"]
    assert error["request_id"] == error["headers"]["request-id"]
    assert error["body"]["request_id" if "request_id" in error["body"] else "message"]
    assert error["type"]


def test_the_api_key_goes_in_either_header_on_every_path(local_gateway: Gateway) -> None:
    as_bearer = call(local_gateway, "/v1/models")
    as_x_api_key = call(
        local_gateway, "/v1/models", headers={"authorization": "", "x-api-key": local_gateway.api_key}
    )

    assert as_bearer.status == as_x_api_key.status == 200
    assert as_bearer.body == as_x_api_key.body
