"""What one model behind one provider can do: the translators ask this, the catalog's cards answer it."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from modelway.conversation.request import EFFORTS, Effort

ThinkingType = Literal["adaptive", "enabled", "disabled", "between_tools"]


class Capabilities(Struct, frozen=True, kw_only=True):
    """Defaults are for a model nobody wrote a card for: nothing its dialect can say is held back.

    Tokens are tokens; `stop_max` and `name_max` are counts and characters.
    """

    max_output_tokens: int | None = None
    context_window_tokens: int | None = None
    thinking_types: frozenset[ThinkingType] = frozenset({"adaptive", "enabled", "disabled"})
    efforts: tuple[Effort, ...] = EFFORTS
    default_effort: Effort | None = None
    effort_max_without_thinking: Effort | None = None
    sampling: Literal["free", "one_of_temperature_top_p", "refused"] = "free"
    top_k: bool = False
    prefill: bool = False
    mid_system: bool = False
    leading_system_only: bool = False
    developer_role: bool = False
    forced_tools: bool = True
    forced_tools_with_thinking: bool = False
    parallel_tools: bool = True
    freeform_tools: bool = False
    strict_tools: bool = True
    structured_output: bool = True
    cache_marks: bool = False
    vision: bool = True
    documents: bool = True
    audio: bool = False
    logprobs: bool = True
    hosted_web_search: bool = False
    binds_thinking: bool = False
    string_content_only: bool = False
    stop_max: int | None = 4
    name_max: int = 64
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"


ANY_MODEL = Capabilities()
