"""What a client asks for, in no vendor's dialect. Three protocols read into it and write out of it."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from modelway.conversation.parts import CacheMark, Ext, Node, Turn

Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
EFFORTS: tuple[Effort, ...] = ("none", "minimal", "low", "medium", "high", "xhigh", "max")


class FunctionTool(Node, frozen=True, tag="function"):
    """A tool the caller runs. `schema` is JSON Schema of its arguments; `strict` None means not said."""

    name: str
    schema: dict[str, Any]
    description: str | None = None
    strict: bool | None = None
    cache: CacheMark | None = None
    namespace: str | None = None


class FreeformTool(Node, frozen=True, tag="freeform"):
    """A tool that takes text rather than JSON (OpenAI's custom tools). `grammar` is the vendor's object."""

    name: str
    description: str | None = None
    grammar: dict[str, Any] | None = None
    namespace: str | None = None


class HostedTool(Node, frozen=True, tag="hosted"):
    """A tool of a vendor: run by it (web_search) or defined by it and run by the caller (bash_20250124).

    `kind` is the vendor-neutral name (web_search, web_fetch, code_execution, mcp, bash, text_editor,
    memory, computer, …), `raw` the definition as it came, in the shape of `protocol`.
    """

    kind: str
    protocol: str
    raw: dict[str, Any]
    name: str = ""
    runs_at_vendor: bool = True


Tool = FunctionTool | FreeformTool | HostedTool


class ToolChoice(Struct, frozen=True):
    """`mode` required: any tool; named: just `names[0]`; allowed: only `names`, one if `required`."""

    mode: Literal["auto", "required", "none", "named", "allowed"]
    names: tuple[str, ...] = ()
    required: bool = False


class Sampling(Struct, frozen=True):
    """None means the client did not say."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    n: int = 1


class ReasoningSpec(Struct, frozen=True):
    """How much the model should think; each protocol maps it per model.

    `mode`: off, adaptive (the model decides), budget (`budget_tokens`), between_tools; None = not said.
    `summary`: none (omitted), auto, concise, detailed; None = not said.
    """

    mode: Literal["off", "adaptive", "budget", "between_tools"] | None = None
    effort: Effort | None = None
    budget_tokens: int | None = None
    summary: Literal["none", "auto", "concise", "detailed"] | None = None


class OutputSpec(Struct, frozen=True):
    """The form the answer must have. `format` schema comes with `schema` and maybe name and strict."""

    format: Literal["text", "json", "schema"] = "text"
    name: str | None = None
    description: str | None = None
    schema: dict[str, Any] | None = None
    strict: bool | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class StateSpec(Struct, frozen=True):
    """What the server is asked to keep or continue (Responses; `thread` is Messages')."""

    store: bool | None = None
    previous_response_id: str | None = None
    conversation: Any = None
    background: bool | None = None


class Attribution(Struct, frozen=True):
    """Who and how: none of it changes what the model reads."""

    user_id: str | None = None
    metadata: dict[str, str] = {}
    service_tier: str | None = None
    speed: str | None = None
    inference_geo: str | None = None
    cache_key: str | None = None
    cache_retention: str | None = None


class Conversation(Struct, frozen=True, kw_only=True):
    """One request, whole. System text is in leading turns of role system or developer.

    `stop` are sequences the text must not contain; `cache` is Messages' top-level mark;
    `ext[protocol]` holds top-level fields only that protocol knows.
    """

    model: str
    turns: tuple[Turn, ...]
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tools: bool | None = None
    max_output_tokens: int | None = None
    stop: tuple[str, ...] = ()
    sampling: Sampling = Sampling()
    reasoning: ReasoningSpec = ReasoningSpec()
    output: OutputSpec = OutputSpec()
    state: StateSpec = StateSpec()
    attribution: Attribution = Attribution()
    cache: CacheMark | None = None
    stream: bool = False
    include_usage: bool = False
    ext: Ext = {}
