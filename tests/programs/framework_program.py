"""What a customer's program does with agent frameworks, one JSON line in, one out (see running.py).

Run by the interpreter beside the frameworks, so it imports nothing of this repository. A line is
`{"use": NAME, "model", "base_url", "api_key", "stream"}`; each use runs a whole tool loop and answers
`{"text": …, "heard": [[city, days], …]}`, or `{"error": …}`. Each framework takes seconds to import, so
one is imported when it is first used.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
import traceback
from collections.abc import Callable
from typing import Any

import pydantic

QUESTION = "What will the weather be in Paris for a week?"
ROUNDS_MAX = 4  # the loop ends in the second

Asked = dict[str, Any]
Seen = dict[str, Any]

heard: list[list[Any]] = []


def get_weather(city: str, days: int) -> str:
    """The weather in a city."""
    heard.append([city, days])
    return f"sunny-{city}-{days}"


SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
CHAT_TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}}


def openai_agents(asked: Asked) -> str:
    agents = importlib.import_module("agents")
    openai = importlib.import_module("openai")
    agents.set_tracing_disabled(True)
    kind = "OpenAIResponsesModel" if asked["dialect"] == "responses" else "OpenAIChatCompletionsModel"
    client = openai.AsyncOpenAI(base_url=asked["base_url"] + "/v1", api_key=asked["api_key"])
    model = getattr(agents, kind)(model=asked["model"], openai_client=client)
    tools = [agents.function_tool(get_weather)]
    agent = agents.Agent(name="forecaster", instructions="Be brief.", tools=tools, model=model)

    async def streamed() -> str:
        run = agents.Runner.run_streamed(agent, QUESTION)
        async for _ in run.stream_events():
            pass
        return str(run.final_output)

    async def whole() -> str:
        return str((await agents.Runner.run(agent, QUESTION)).final_output)

    return asyncio.run(streamed() if asked["stream"] else whole())


PYDANTIC_AI = {
    "chat": ("openai", "OpenAIChatModel", "OpenAIProvider"),
    "responses": ("openai", "OpenAIResponsesModel", "OpenAIProvider"),
    "messages": ("anthropic", "AnthropicModel", "AnthropicProvider"),
}


def pydantic_ai(asked: Asked) -> str:
    framework = importlib.import_module("pydantic_ai")
    vendor, model_name, provider_name = PYDANTIC_AI[asked["dialect"]]
    models = importlib.import_module(f"pydantic_ai.models.{vendor}")
    providers = importlib.import_module(f"pydantic_ai.providers.{vendor}")
    base_url = asked["base_url"] + ("/v1" if vendor == "openai" else "")
    provider = getattr(providers, provider_name)(base_url=base_url, api_key=asked["api_key"])
    model = getattr(models, model_name)(asked["model"], provider=provider)
    agent = framework.Agent(model, tools=[get_weather], instructions="Be brief.")

    async def streamed() -> str:
        async with agent.run_stream(QUESTION) as run:
            return "".join([piece async for piece in run.stream_text(delta=True)])

    async def whole() -> str:
        return str((await agent.run(QUESTION)).output)

    return asyncio.run(streamed() if asked["stream"] else whole())


def langchain_model(asked: Asked) -> Any:
    if asked["dialect"] == "messages":
        kind = importlib.import_module("langchain_anthropic").ChatAnthropic
        return kind(model=asked["model"], base_url=asked["base_url"], api_key=asked["api_key"])
    return importlib.import_module("langchain_openai").ChatOpenAI(
        model=asked["model"],
        base_url=asked["base_url"] + "/v1",
        api_key=asked["api_key"],
        use_responses_api=asked["dialect"] == "responses",
    )


def langchain(asked: Asked) -> str:
    agent = importlib.import_module("langchain.agents").create_agent(langchain_model(asked), [get_weather])
    question = {"messages": [{"role": "user", "content": QUESTION}]}
    if not asked["stream"]:
        return str(agent.invoke(question)["messages"][-1].text)
    said = ""
    for message, _ in agent.stream(question, stream_mode="messages"):
        said += message.text if message.type == "AIMessageChunk" else ""
    return said


class Forecast(pydantic.BaseModel):
    """What the typed answer has to be."""

    city: str
    days: int


INSTRUCTOR_MODES = {"chat": "TOOLS", "messages": "ANTHROPIC_TOOLS", "responses": "RESPONSES_TOOLS"}


def instructor(asked: Asked) -> str:
    """No loop: the call of a tool is the typed answer."""
    framework = importlib.import_module("instructor")
    mode = getattr(framework.Mode, INSTRUCTOR_MODES[asked["dialect"]])
    if asked["dialect"] == "messages":
        anthropic = importlib.import_module("anthropic")
        bare = anthropic.Anthropic(base_url=asked["base_url"], api_key=asked["api_key"])
        client = framework.from_anthropic(bare, mode=mode)
    else:
        openai = importlib.import_module("openai")
        bare = openai.OpenAI(base_url=asked["base_url"] + "/v1", api_key=asked["api_key"])
        client = framework.from_openai(bare, mode=mode)
    turns = [{"role": "user", "content": QUESTION}]
    more = {"max_tokens": 100} if asked["dialect"] == "messages" else {}
    forecast = client.chat.completions.create(
        model=asked["model"], messages=turns, response_model=Forecast, max_retries=0, **more
    )
    return get_weather(forecast.city, forecast.days)


def litellm(asked: Asked) -> str:
    """litellm as a library: its own loop around `completion`."""
    framework = importlib.import_module("litellm")
    vendor = "anthropic" if asked["dialect"] == "messages" else "openai"
    way = "responses/" if asked["dialect"] == "responses" else ""
    more = {
        "api_base": asked["base_url"] + ("/v1" if vendor == "openai" else ""),
        "api_key": asked["api_key"],
    }
    turns: list[Any] = [{"role": "user", "content": QUESTION}]
    for _ in range(ROUNDS_MAX):
        answer = framework.completion(
            model=f"{vendor}/{way}{asked['model']}",
            messages=turns,
            tools=[CHAT_TOOL],
            stream=asked["stream"],
            max_tokens=100,
            **more,
        )
        if asked["stream"]:
            answer = framework.stream_chunk_builder(list(answer), messages=turns)
        message = answer.choices[0].message
        if not message.tool_calls:
            return str(message.content)
        turns.append(message)
        for call in message.tool_calls:
            result = get_weather(**json.loads(call.function.arguments))
            turns.append({"role": "tool", "tool_call_id": call.id, "content": result})
    raise AssertionError("the loop never ended")


USES: dict[str, Callable[[Asked], str]] = {
    "openai-agents": openai_agents,
    "pydantic-ai": pydantic_ai,
    "langchain": langchain,
    "instructor": instructor,
    "litellm": litellm,
}


def answer(asked: Asked) -> Seen:
    heard.clear()
    try:
        return {"text": USES[asked["use"]](asked), "heard": list(heard)}
    # Every failure is an answer here: the test shows it.
    except BaseException:
        return {"error": traceback.format_exc(limit=-6)}


if __name__ == "__main__":
    # Frameworks print what they like to standard output; the answers go where they cannot.
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), file=answers, flush=True)
