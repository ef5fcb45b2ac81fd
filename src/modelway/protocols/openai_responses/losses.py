"""What happens to each neutral feature when a request is written as Responses, and to the fields that
only Responses knows when its client is answered by another protocol.
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
    Loss("system.leading", KEPT, "", "becomes `instructions`, or items of role system or developer"),
    Loss("system.mid", KEPT, "", "an item of role system stands where it stood"),
    Loss("role.developer", KEPT, "", "items have the role developer"),
    Loss("turn.name", CHANGED, "name", "Responses messages have no `name`; it is dropped"),
    Loss("turn.phase", KEPT, "", "messages have a `phase`"),
    Loss("turn.prefill", REFUSED, "unsupported_value", "Responses cannot continue an assistant message"),
    Loss("part.text", KEPT, "", "input_text and output_text"),
    Loss("part.image", KEPT, "", "input_image"),
    Loss("part.image.detail", KEPT, "", "`detail`"),
    Loss("part.image.file", REFUSED, "unsupported_content", "a file id means nothing to another vendor"),
    Loss("part.document", KEPT, "", "input_file with file_data or file_url"),
    Loss("part.document.text", CHANGED, "document_flattened", "a text document becomes an input_text"),
    Loss("part.document.file", REFUSED, "unsupported_content", "a file id means nothing to another vendor"),
    Loss("part.document.title", KEPT, "", "the title becomes the file's name"),
    Loss("part.audio", REFUSED, "unsupported_content", "Responses messages carry no audio"),
    Loss("part.search_result", CHANGED, "document_flattened", "a search result becomes an input_text"),
    Loss("part.reasoning", EXTENSION, "reasoning_dropped", "reasoning goes back only to whoever made it"),
    Loss("part.reasoning.redacted", CHANGED, "reasoning_dropped", "only its maker can read it; dropped"),
    Loss("part.tool_call", KEPT, "", "function_call"),
    Loss("part.tool_result", KEPT, "", "function_call_output"),
    Loss("part.tool_result.media", KEPT, "", "outputs may be lists of text, images and files"),
    Loss("part.tool_result.is_error", CHANGED, "is_error", "the text is marked with `[tool_error] `"),
    Loss("part.hosted_call", CHANGED, "hosted_call", "another vendor's own tool call is dropped"),
    Loss("part.refusal", KEPT, "", "a refusal part"),
    Loss("part.opaque", CHANGED, "unknown_content", "content only another protocol knows is dropped"),
    Loss("part.citations", CHANGED, "citations", "history's citations are not sent again"),
    Loss("part.order", KEPT, "", "items keep the order of parts"),
    Loss("part.cache", KEPT, "", "prompt_cache_breakpoint, for models that take it"),
    Loss("tool.function", KEPT, "", "a flat function tool"),
    Loss("tool.function.strict", CHANGED, "strict", "the schema does not qualify for strict; sent as false"),
    Loss("tool.freeform", KEPT, "", "a custom tool; a function of one string where there are none"),
    Loss("tool.freeform.grammar", CHANGED, "grammar", "the grammar is only described to the model"),
    Loss("tool.namespace", KEPT, "", "a namespace; a longer name where there are none"),
    Loss("tool.client", CHANGED, "tool_emulated", "a vendor's own tool becomes a function of its name"),
    Loss("tool.hosted.web_search", CHANGED, "web_search", "max_uses and blocked domains are not carried"),
    Loss("tool.hosted.web_fetch", REFUSED, "unsupported_tool", "Responses has no tool that fetches a page"),
    Loss("tool.hosted.code_execution", REFUSED, "unsupported_tool", "its container is not the vendor's"),
    Loss("tool.hosted.mcp", REFUSED, "unsupported_tool", "the server's credentials do not cross vendors"),
    Loss("tool.hosted.other", REFUSED, "unsupported_tool", "only its own vendor can run this tool"),
    Loss("tool.ext", CHANGED, "tool_field", "a tool's field that only another protocol knows is dropped"),
    Loss("tool_choice", KEPT, "", "tool_choice"),
    Loss("tool_choice.allowed", KEPT, "", "allowed_tools"),
    Loss("parallel_tools", KEPT, "", "parallel_tool_calls"),
    Loss("max_output_tokens", CHANGED, "max_tokens", "Responses writes at least 16 tokens"),
    Loss("max_output_tokens.zero", KEPT, "", "prompt_cache_options.prewarm"),
    Loss("stop", KEPT, "", "the gateway cuts the text itself"),
    Loss("sampling.temperature", CHANGED, "sampling", "this model takes no temperature"),
    Loss("sampling.top_p", CHANGED, "sampling", "this model takes no top_p"),
    Loss("sampling.top_k", CHANGED, "sampling", "Responses has no top_k"),
    Loss("sampling.seed", CHANGED, "sampling", "Responses has no seed"),
    Loss("sampling.penalties", CHANGED, "sampling", "Responses has no penalties"),
    Loss("sampling.logit_bias", CHANGED, "sampling", "Responses has no logit_bias"),
    Loss("sampling.logprobs", KEPT, "", "include and top_logprobs"),
    Loss("sampling.n", REFUSED, "unsupported_value", "Responses gives one answer; `n` may be 1"),
    Loss("reasoning.mode", KEPT, "", "effort none switches thinking off"),
    Loss("reasoning.effort", CHANGED, "effort", "this model has not that effort; the nearest is sent"),
    Loss("reasoning.budget", CHANGED, "reasoning_budget", "a budget becomes the nearest effort"),
    Loss("reasoning.summary", KEPT, "", "reasoning.summary"),
    Loss("output.json", KEPT, "", "text.format json_object"),
    Loss("output.schema", CHANGED, "strict", "the schema does not qualify for strict; sent as false"),
    Loss("output.verbosity", KEPT, "", "text.verbosity"),
    Loss("state.store", KEPT, "", "`store`; false unless the client asked for it"),
    Loss("state.previous", KEPT, "", "earlier turns are written out"),
    Loss("state.conversation", REFUSED, "unsupported_parameter", "conversations of another server"),
    Loss("state.background", REFUSED, "unsupported_parameter", "a translated call answers while it is open"),
    Loss("attribution.user_id", KEPT, "", "safety_identifier"),
    Loss("attribution.metadata", KEPT, "", "the gateway echoes it itself"),
    Loss("attribution.service_tier", KEPT, "", "service_tier"),
    Loss("attribution.speed", CHANGED, "speed", "`speed` is Anthropic's; dropped"),
    Loss("attribution.inference_geo", REFUSED, "unsupported_parameter", "the place cannot be promised"),
    Loss("attribution.cache_key", KEPT, "", "prompt_cache_key"),
    Loss("attribution.cache_retention", KEPT, "", "prompt_cache_retention"),
    Loss("cache", KEPT, "", "prompt_cache_options.mode implicit"),
    Loss("ext.context", CHANGED, "context_management", "another protocol's context editing is dropped"),
    Loss("ext.constraint", REFUSED, "unsupported_parameter", "a constraint this route cannot honour"),
    Loss("ext.unknown", CHANGED, "unknown_field", "a field only another protocol knows is dropped"),
)

ROWS: dict[str, Loss] = {loss.field: loss for loss in LOSSES}

# Top-level fields of a Responses request that no other protocol can say, when another one answers.
# What is not listed, here or among the fields that are read, is unknown: dropped with a warning.
FOREIGN: dict[str, Loss] = {
    loss.field: loss
    for loss in (
        Loss("client_metadata", SILENT, "", "Codex's note about itself"),
        Loss("stream_options", SILENT, "", "only about padding of the stream"),
        Loss("include", SILENT, "", "what is asked for is there, or does not exist on this route"),
        Loss("max_tool_calls", CHANGED, "max_tool_calls", "hosted tool calls cannot be counted here"),
        Loss("truncation", CHANGED, "truncation", "input is never cut on this route"),
        Loss("context_management", CHANGED, "context_management", "no compaction on this route"),
        Loss("image", CHANGED, "image", "images are not recompressed on this route"),
        Loss("access_programs", CHANGED, "access_programs", "access programs are OpenAI's"),
        Loss("prompt_cache_options", SILENT, "", "a hint that changes nothing of the answer"),
        Loss("prompt", REFUSED, "unsupported_parameter", "prompt templates are kept by OpenAI alone"),
        Loss("moderation", REFUSED, "unsupported_parameter", "moderation cannot be promised on this route"),
        Loss("conversation", REFUSED, "unsupported_parameter", "conversations are kept by OpenAI alone"),
        Loss("reasoning.context", CHANGED, "reasoning_context", "earlier reasoning is always replayed"),
        Loss("reasoning.mode", REFUSED, "unsupported_value", "mode `pro` exists only at OpenAI"),
    )
}
