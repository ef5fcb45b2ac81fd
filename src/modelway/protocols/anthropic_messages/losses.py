"""What becomes of each neutral feature when it is written as Messages, and of what only Messages can
say when it leaves for another protocol. The documentation's field table is made from these rows.
"""

from __future__ import annotations

from modelway.conversation.translation import Fate, Loss

KEPT, EXTENSION, SILENT, CHANGED, REFUSED = (
    Fate.KEPT,
    Fate.EXTENSION,
    Fate.SILENT,
    Fate.CHANGED,
    Fate.REFUSED,
)

LOSSES: tuple[Loss, ...] = (
    Loss("system.leading", KEPT, "", "The leading system and developer turns become `system`"),
    Loss(
        "system.mid",
        CHANGED,
        "system_position",
        "This model takes no system message here: it is moved, or wrapped into the user's turn",
    ),
    Loss("role.developer", KEPT, "", "Means the same as system"),
    Loss("turn.name", CHANGED, "name", "Messages have no names: it goes before the text"),
    Loss("turn.phase", SILENT, "phase", "A hint of OpenAI's that does not change what is read"),
    Loss(
        "turn.prefill",
        CHANGED,
        "trailing_assistant",
        'A final assistant message would be continued; the user\'s "Continue." is put after it',
    ),
    Loss("part.text", KEPT, "", "A text block; one that is empty or only white space is left out"),
    Loss("part.image", KEPT, "", "An image block"),
    Loss("part.image.detail", SILENT, "detail", "There is no such hint"),
    Loss("part.image.file", REFUSED, "unsupported_content", "Another vendor's file cannot be read from here"),
    Loss("part.document", KEPT, "", "A document block"),
    Loss("part.document.text", KEPT, "", "A document block with a text source"),
    Loss(
        "part.document.file", REFUSED, "unsupported_content", "Another vendor's file cannot be read from here"
    ),
    Loss("part.document.title", KEPT, "", "The block's title and context"),
    Loss("part.audio", REFUSED, "unsupported_content", "Messages takes no audio"),
    Loss("part.search_result", KEPT, "", "A search_result block"),
    Loss(
        "part.reasoning",
        CHANGED,
        "reasoning_dropped",
        "Only thinking that this vendor signed is taken back; other reasoning is left out",
    ),
    Loss("part.reasoning.redacted", KEPT, "", "A redacted_thinking block, to the vendor it came from"),
    Loss("part.tool_call", KEPT, "", "A tool_use block"),
    Loss("part.tool_result", KEPT, "", "A tool_result block"),
    Loss("part.tool_result.media", KEPT, "", "Images and documents inside the tool_result"),
    Loss("part.tool_result.is_error", KEPT, "", "`is_error`"),
    Loss("part.hosted_call", CHANGED, "hosted_call", "Another vendor's own tool calls are left out"),
    Loss("part.refusal", CHANGED, "refusal", "There are no refusal parts: it becomes text"),
    Loss("part.opaque", REFUSED, "unsupported_content", "Nobody here knows this kind of content"),
    Loss(
        "part.citations",
        SILENT,
        "citations",
        "Only citations with their encrypted index are taken back",
    ),
    Loss("part.order", KEPT, "", "Blocks stay in order; tool results come first in their message"),
    Loss("part.cache", KEPT, "", "`cache_control`, the last four; 30m becomes 5m and 12h becomes 1h"),
    Loss("tool.function", KEPT, "", "A custom tool"),
    Loss("tool.function.strict", CHANGED, "strict", "The schema is outside the subset that can be enforced"),
    Loss("tool.freeform", KEPT, "", "A tool with one string, `input`; its calls are mapped back"),
    Loss("tool.freeform.grammar", CHANGED, "grammar", "The grammar goes into the description only"),
    Loss("tool.namespace", KEPT, "", "`namespace__name`, mapped back in the answer"),
    Loss("tool.client", KEPT, "", "As it came"),
    Loss("tool.hosted.web_search", KEPT, "", "web_search_20250305 with domains and location"),
    Loss(
        "tool.hosted.web_fetch", REFUSED, "unsupported_tool", "Only a Messages client's own definition fits"
    ),
    Loss("tool.hosted.code_execution", REFUSED, "unsupported_tool", "The sandboxes differ too much"),
    Loss("tool.hosted.mcp", REFUSED, "unsupported_tool", "Only a Messages client's own definition fits"),
    Loss("tool.hosted.other", REFUSED, "unsupported_tool", "This tool runs only at its own vendor"),
    Loss("tool.ext", KEPT, "", "input_examples, defer_loading, allowed_callers and the like"),
    Loss("tool_choice", CHANGED, "tool_choice", "This model does not let a tool be forced: auto is sent"),
    Loss("tool_choice.allowed", KEPT, "", "Only the allowed tools are sent, with auto or any"),
    Loss("parallel_tools", KEPT, "", "`disable_parallel_tool_use`"),
    Loss("max_output_tokens", CHANGED, "max_tokens", "More than the model can write: its maximum is sent"),
    Loss("max_output_tokens.zero", KEPT, "", "`max_tokens: 0` fills the prompt cache"),
    Loss("stop", KEPT, "", "`stop_sequences`; white space alone is enforced by the gateway"),
    Loss("sampling.temperature", CHANGED, "sampling", "0 to 1, and not where the model refuses sampling"),
    Loss("sampling.top_p", CHANGED, "sampling", "Not where the model refuses it, or with a temperature"),
    Loss("sampling.top_k", CHANGED, "sampling", "Not where the model refuses sampling, or with thinking"),
    Loss("sampling.seed", CHANGED, "sampling", "There is no seed"),
    Loss("sampling.penalties", CHANGED, "sampling", "There are no penalties"),
    Loss("sampling.logit_bias", CHANGED, "sampling", "There is no logit bias"),
    Loss("sampling.logprobs", CHANGED, "logprobs", "There are no log probabilities"),
    Loss("sampling.n", REFUSED, "unsupported_value", "A Messages upstream gives one answer; n 1 is right"),
    Loss("reasoning.mode", CHANGED, "reasoning", "The model's nearest kind of thinking"),
    Loss("reasoning.effort", CHANGED, "reasoning", "The model's next lower effort"),
    Loss(
        "reasoning.budget", CHANGED, "reasoning", "The effort whose budget is nearest, or a budget that fits"
    ),
    Loss("reasoning.summary", KEPT, "", "`thinking.display`"),
    Loss("output.json", CHANGED, "response_format", "A line of instruction asks for one JSON object"),
    Loss(
        "output.schema",
        CHANGED,
        "response_format",
        "Constraints outside the subset that can be enforced go into the descriptions",
    ),
    Loss("output.verbosity", CHANGED, "verbosity", "There is no such field"),
    Loss("state.store", SILENT, "store", "Messages keeps nothing; the gateway does, where it is asked to"),
    Loss("state.previous", REFUSED, "unsupported_parameter", "Messages continues no stored response"),
    Loss("state.conversation", REFUSED, "unsupported_parameter", "Messages continues no stored conversation"),
    Loss("state.background", REFUSED, "unsupported_parameter", "Messages has no background mode"),
    Loss("attribution.user_id", KEPT, "", "`metadata.user_id`"),
    Loss("attribution.metadata", SILENT, "metadata", "The client's own notes; they come back in the answer"),
    Loss("attribution.service_tier", CHANGED, "service_tier", "auto or standard_only is sent"),
    Loss("attribution.speed", KEPT, "", "`speed`"),
    Loss("attribution.inference_geo", KEPT, "", "`inference_geo`"),
    Loss("attribution.cache_key", SILENT, "cache_key", "Caches find their prompts without it"),
    Loss("attribution.cache_retention", SILENT, "cache_retention", "Each mark carries its own life"),
    Loss("cache", KEPT, "", "`cache_control` at the top"),
    Loss("ext.context", SILENT, "context", "Another protocol's hints"),
    Loss("ext.constraint", SILENT, "constraint", "Judged where they were read"),
    Loss("ext.unknown", SILENT, "unknown_field", "Judged where they were read"),
)

LOSS: dict[str, Loss] = {loss.field: loss for loss in LOSSES}

# Messages' own fields, on a way to an upstream that speaks something else.
_LEAVING = (
    Loss("ext.constraint", REFUSED, "unsupported_parameter", "A constraint only Anthropic's API can honour"),
    Loss("ext.context", CHANGED, "unsupported_parameter", "Context management of Anthropic's API"),
    Loss("ext.unknown", CHANGED, "unknown_field", "A field that is not known here"),
    Loss("tool.client", CHANGED, "tool_emulated", "A tool Anthropic defines is sent as an ordinary function"),
)
LEAVING: dict[str, Loss] = {loss.field: loss for loss in _LEAVING}
