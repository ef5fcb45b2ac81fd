"""The neutral features by name: what each protocol's loss table speaks about, and no other word.

A feature is a field of `Conversation` or a kind of part or tool. Names are stable: warnings, the
documentation's field matrix and the tests use them.
"""

from __future__ import annotations

FEATURES: tuple[str, ...] = (
    # where instructions stand
    "system.leading",
    "system.mid",
    "role.developer",
    "turn.name",
    "turn.phase",
    "turn.prefill",
    # parts
    "part.text",
    "part.image",
    "part.image.detail",
    "part.image.file",
    "part.document",
    "part.document.text",
    "part.document.file",
    "part.document.title",
    "part.audio",
    "part.search_result",
    "part.reasoning",
    "part.reasoning.redacted",
    "part.tool_call",
    "part.tool_result",
    "part.tool_result.media",
    "part.tool_result.is_error",
    "part.hosted_call",
    "part.refusal",
    "part.opaque",
    "part.citations",
    "part.order",
    "part.cache",
    # tools
    "tool.function",
    "tool.function.strict",
    "tool.freeform",
    "tool.freeform.grammar",
    "tool.namespace",
    "tool.client",
    "tool.hosted.web_search",
    "tool.hosted.web_fetch",
    "tool.hosted.code_execution",
    "tool.hosted.mcp",
    "tool.hosted.other",
    "tool.ext",
    "tool_choice",
    "tool_choice.allowed",
    "parallel_tools",
    # limits and sampling
    "max_output_tokens",
    "max_output_tokens.zero",
    "stop",
    "sampling.temperature",
    "sampling.top_p",
    "sampling.top_k",
    "sampling.seed",
    "sampling.penalties",
    "sampling.logit_bias",
    "sampling.logprobs",
    "sampling.n",
    # thinking
    "reasoning.mode",
    "reasoning.effort",
    "reasoning.budget",
    "reasoning.summary",
    # the answer's form
    "output.json",
    "output.schema",
    "output.verbosity",
    # what the server keeps
    "state.store",
    "state.previous",
    "state.conversation",
    "state.background",
    # who and how
    "attribution.user_id",
    "attribution.metadata",
    "attribution.service_tier",
    "attribution.speed",
    "attribution.inference_geo",
    "attribution.cache_key",
    "attribution.cache_retention",
    "cache",
    # fields of one protocol only
    "ext.context",
    "ext.constraint",
    "ext.unknown",
)
