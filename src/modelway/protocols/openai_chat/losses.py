"""What becomes of each neutral feature when it is written as Chat Completions: one table, read by the
writer and by the documentation.
"""

from __future__ import annotations

from modelway.conversation.translation import Fate, Loss, Translation

KEPT, EXTENSION, SILENT = Fate.KEPT, Fate.EXTENSION, Fate.SILENT
CHANGED, REFUSED = Fate.CHANGED, Fate.REFUSED

LOSSES: tuple[Loss, ...] = (
    # where instructions stand
    Loss("system.leading", KEPT, "", "a message of role system"),
    Loss(
        "system.mid",
        CHANGED,
        "system_position",
        "wrapped into a user message where only a leading system message is read",
    ),
    Loss(
        "role.developer", KEPT, "", "role developer where the model has it, else system, which means the same"
    ),
    Loss("turn.name", KEPT, "", "`name` on the message"),
    Loss("turn.phase", SILENT, "", "Chat has no phases; the text is the same"),
    Loss(
        "turn.prefill",
        REFUSED,
        "unsupported_content",
        "This model does not support assistant message prefill. "
        "The conversation must end with a user message.",
    ),
    # parts
    Loss("part.text", KEPT, "", "a text part"),
    Loss("part.image", REFUSED, "unsupported_content", "This model does not take images"),
    Loss("part.image.detail", KEPT, "", "`detail` of image_url"),
    Loss(
        "part.image.file",
        REFUSED,
        "unsupported_content",
        "An image kept as a file of another vendor cannot be sent; send its bytes or its URL",
    ),
    Loss("part.document", REFUSED, "unsupported_content", "This model does not take documents"),
    Loss(
        "part.document.text",
        CHANGED,
        "document_flattened",
        "The document became a text part inside <document> tags",
    ),
    Loss(
        "part.document.file",
        REFUSED,
        "unsupported_content",
        "A document kept by another vendor, or behind a URL, cannot be sent; send its bytes",
    ),
    Loss("part.document.title", KEPT, "", "the file's name"),
    Loss("part.audio", KEPT, "", "an input_audio part"),
    Loss(
        "part.search_result",
        CHANGED,
        "document_flattened",
        "The search result became a text part inside <search_result> tags",
    ),
    Loss(
        "part.reasoning",
        EXTENSION,
        "reasoning_dropped",
        "OpenAI's Chat endpoint takes no earlier reasoning; others get reasoning_content",
    ),
    Loss(
        "part.reasoning.redacted",
        EXTENSION,
        "reasoning_dropped",
        "an encrypted entry of reasoning_details, except towards OpenAI",
    ),
    Loss("part.tool_call", KEPT, "", "an entry of tool_calls"),
    Loss("part.tool_result", KEPT, "", "a message of role tool"),
    Loss(
        "part.tool_result.media",
        CHANGED,
        "tool_result_media",
        "A tool message carries only text, so its images and documents follow in a user message",
    ),
    Loss(
        "part.tool_result.is_error",
        CHANGED,
        "is_error",
        "The error flag became the prefix [tool_error] of the text",
    ),
    Loss(
        "part.hosted_call",
        CHANGED,
        "hosted_call_dropped",
        "A tool that the other vendor ran, with its results, was left out",
    ),
    Loss("part.refusal", KEPT, "", "`refusal` on the message"),
    Loss(
        "part.opaque",
        REFUSED,
        "unsupported_content",
        "This kind of content does not exist in Chat Completions",
    ),
    Loss("part.citations", CHANGED, "citations", "Citations inside earlier messages were left out"),
    Loss("part.order", CHANGED, "order", "Text that followed a tool call now stands before it"),
    Loss("part.cache", SILENT, "", "a cache breakpoint where the model has them; it changes only the price"),
    # tools
    Loss("tool.function", KEPT, "", "a function tool"),
    Loss(
        "tool.function.strict",
        CHANGED,
        "strict",
        "strict needs additionalProperties: false and every property required; sent as not strict",
    ),
    Loss("tool.freeform", KEPT, "", "a custom tool, or a function with one `input` string"),
    Loss(
        "tool.freeform.grammar",
        CHANGED,
        "grammar",
        "The grammar is only described to the model, not enforced",
    ),
    Loss("tool.namespace", KEPT, "", "a function called namespace__name; the reply has both again"),
    Loss(
        "tool.client",
        CHANGED,
        "tool_emulated",
        "A tool defined by the vendor was sent as a function of the same name",
    ),
    Loss(
        "tool.hosted.web_search", REFUSED, "unsupported_tool", "This model does not search the web by itself"
    ),
    Loss("tool.hosted.web_fetch", REFUSED, "unsupported_tool", "web_fetch runs only at its own vendor"),
    Loss(
        "tool.hosted.code_execution",
        REFUSED,
        "unsupported_tool",
        "code_execution runs only at its own vendor",
    ),
    Loss(
        "tool.hosted.mcp",
        REFUSED,
        "unsupported_tool",
        "MCP servers are reached only through their own vendor",
    ),
    Loss("tool.hosted.other", REFUSED, "unsupported_tool", "This tool runs only at its own vendor"),
    Loss("tool.ext", SILENT, "", "hints about loading and streaming of tools"),
    Loss(
        "tool_choice", CHANGED, "tool_choice", "This model cannot be forced to call a tool; it decides itself"
    ),
    Loss("tool_choice.allowed", KEPT, "", "only the allowed tools are sent"),
    Loss("parallel_tools", KEPT, "", "parallel_tool_calls"),
    # limits and sampling
    Loss("max_output_tokens", CHANGED, "max_tokens", "lowered to the most this model can write"),
    Loss(
        "max_output_tokens.zero",
        REFUSED,
        "unsupported_value",
        "A request that writes nothing exists only at Anthropic; max_tokens must be 1 or more",
    ),
    Loss("stop", KEPT, "", "`stop`; what the model's endpoint does not take, the gateway enforces"),
    Loss(
        "sampling.temperature", CHANGED, "sampling", "This model does not take temperature; it was left out"
    ),
    Loss(
        "sampling.top_p",
        CHANGED,
        "sampling",
        "This model does not take top_p, or not beside temperature; it was left out",
    ),
    Loss("sampling.top_k", CHANGED, "top_k", "This model's endpoint has no top_k; it was left out"),
    Loss("sampling.seed", KEPT, "", "`seed`"),
    Loss("sampling.penalties", KEPT, "", "presence_penalty and frequency_penalty"),
    Loss("sampling.logit_bias", KEPT, "", "`logit_bias`"),
    Loss("sampling.logprobs", CHANGED, "logprobs", "This model gives no log probabilities"),
    Loss(
        "sampling.n",
        REFUSED,
        "unsupported_value",
        "Several answers at once exist only where nothing has to be translated; n must be 1",
    ),
    # thinking
    Loss("reasoning.mode", SILENT, "", "Chat says how hard to think, not whether the model may decide"),
    Loss("reasoning.effort", CHANGED, "reasoning_effort", "changed to the nearest effort this model has"),
    Loss("reasoning.budget", CHANGED, "reasoning_budget", "A budget of tokens became an effort"),
    Loss("reasoning.summary", SILENT, "", "Chat always shows the reasoning it has"),
    # the answer's form
    Loss("output.json", KEPT, "", "response_format json_object"),
    Loss(
        "output.schema",
        CHANGED,
        "json_schema",
        "This model does not enforce a schema; it was asked for a JSON object",
    ),
    Loss("output.verbosity", KEPT, "", "`verbosity`"),
    # what the server keeps
    Loss("state.store", SILENT, "", "Chat answers are not kept at the provider"),
    Loss(
        "state.previous",
        REFUSED,
        "unsupported_parameter",
        "Chat cannot continue a stored response; send the whole conversation",
    ),
    Loss(
        "state.conversation",
        REFUSED,
        "unsupported_parameter",
        "Chat cannot continue a stored conversation; send the whole of it",
    ),
    Loss(
        "state.background",
        REFUSED,
        "unsupported_parameter",
        "Chat answers only while the client waits; `background` must be false",
    ),
    # who and how
    Loss("attribution.user_id", KEPT, "", "safety_identifier, hashed if longer than 64 characters"),
    Loss("attribution.metadata", SILENT, "", "sent to OpenAI, which keeps it; nobody else reads it"),
    Loss(
        "attribution.service_tier",
        CHANGED,
        "service_tier",
        "This service tier exists only at the other vendor; the default is used",
    ),
    Loss("attribution.speed", CHANGED, "speed", "Chat has no `speed`; the model answers at its usual pace"),
    Loss(
        "attribution.inference_geo",
        REFUSED,
        "unsupported_parameter",
        "This provider cannot promise where the model runs",
    ),
    Loss("attribution.cache_key", SILENT, "", "prompt_cache_key towards OpenAI; it changes only the price"),
    Loss(
        "attribution.cache_retention",
        SILENT,
        "",
        "prompt_cache_retention towards OpenAI; it changes only the price",
    ),
    Loss("cache", SILENT, "", "Chat caches by itself; a mark changes only the price"),
    # fields of one protocol only
    Loss("ext.context", SILENT, "", "judged by the protocol it was read from"),
    Loss("ext.constraint", SILENT, "", "judged by the protocol it was read from"),
    Loss("ext.unknown", SILENT, "", "judged by the protocol it was read from"),
)

_ROWS = {row.field: row for row in LOSSES}

# Fields only Chat has, on their way to an upstream that speaks something else. Any other name is unknown
# there: it is left out with a warning.
LEAVING: dict[str, Loss] = {
    "prediction": Loss("ext.context", SILENT, "", "a hint that makes an answer faster, not different"),
    "audio": Loss("ext.constraint", REFUSED, "unsupported_parameter", "Only Chat models answer in audio"),
    "modalities": Loss(
        "ext.constraint", REFUSED, "unsupported_parameter", "Only Chat models answer in audio"
    ),
    "moderation": Loss(
        "ext.constraint", REFUSED, "unsupported_parameter", "This provider does not moderate the answer"
    ),
}
_UNKNOWN = Loss(
    "ext.unknown", CHANGED, "unknown_field", "The provider does not know this field; it was left out"
)


def judge_leaving(translation: Translation, name: str) -> None:
    """What becomes of a field only Chat has, towards an upstream of another protocol."""
    translation.lose(LEAVING.get(name, _UNKNOWN), name)


def lose(translation: Translation, feature: str, param: str = "", detail: str = "") -> None:
    """Apply the table's row for `feature`: silence, a warning, or a 400."""
    translation.lose(_ROWS[feature], param, detail)


def refuse(translation: Translation, feature: str, param: str = "", detail: str = "") -> None:
    """A feature that this model, though not the protocol, cannot carry: a warning, or 400 when strict."""
    row = _ROWS[feature]
    translation.warn(row.code, param or row.field, detail or row.why)
