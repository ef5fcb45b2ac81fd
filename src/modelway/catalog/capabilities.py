"""What one model can do: the translators' vocabulary, plus what only forms and pages need."""

from __future__ import annotations

from typing import Literal

from modelway.conversation.capabilities import Capabilities as TranslatorCapabilities
from modelway.conversation.capabilities import ThinkingType
from modelway.conversation.request import EFFORTS, Effort

Path = Literal["chat", "responses", "messages"]
PATHS: tuple[Path, ...] = ("chat", "responses", "messages")


class Capabilities(TranslatorCapabilities, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model's abilities. The defaults are those of a plain text model that does not reason.

    A translator takes it where it takes its own, smaller type. `efforts` run from weak to strong;
    token limits are filled from the card.
    """

    thinking_types: frozenset[ThinkingType] = frozenset()
    """Values of Messages `thinking.type` the model takes. Empty: it has no such control (see `efforts`)."""
    thinking_always_on: bool = False
    thinking_default_on: bool = False
    """A request that says nothing about thinking gets thinking."""
    efforts: tuple[Effort, ...] = ()
    effort_max_without_thinking: Effort | None = None
    """With `disabled` or `between_tools` a higher effort is refused. None: no such limit."""

    sampling_with_thinking: bool = True
    """False: while the model thinks, temperature is fixed at 1 and top_p, top_k cannot be chosen."""
    seed: bool = False
    penalties: bool = False
    logit_bias: bool = False
    logprobs: bool = False
    verbosity: bool = False
    choices_max: int = 1
    """Largest `n` of Chat."""
    stop_max: int | None = None
    """Stop sequences the upstream takes; 0: none, None: no known limit. The gateway enforces the rest."""

    mid_system: bool = True
    tools: bool = True
    forced_tools_with_thinking: bool = True
    chat_tools_with_reasoning: bool = True
    """False: on Chat the upstream takes function tools only with effort none; it wants Responses."""
    strict_tools: bool = False
    structured_output: bool = False
    code_execution: bool = False
    citations: bool = False
    batch: bool = False
    vision: bool = False
    documents: bool = False
    video: bool = False
    cache_prompt_tokens_min: int | None = None
    """A shorter prompt is not cached. None: not published."""
    reasoning_text_field: Literal["reasoning_content", "reasoning"] = "reasoning_content"
    """Where a Chat upstream puts, and takes back, readable reasoning."""

    @staticmethod
    def unknown(protocol: Path) -> Capabilities:
        """A model without a card behind an upstream of that dialect: nothing the dialect has is dropped."""
        return _UNKNOWN[protocol]


_UNKNOWN: dict[Path, Capabilities] = {
    "chat": Capabilities(
        efforts=EFFORTS,
        top_k=True,
        seed=True,
        penalties=True,
        logit_bias=True,
        logprobs=True,
        verbosity=True,
        choices_max=128,  # Chat's own range is 1 to 128
        stop_max=4,  # Chat's own limit
        strict_tools=True,
        structured_output=True,
        hosted_web_search=True,
        vision=True,
        documents=True,
        audio=True,
        video=True,
    ),
    "responses": Capabilities(
        efforts=EFFORTS,
        logprobs=True,
        verbosity=True,
        stop_max=0,  # Responses has no stop field
        developer_role=True,
        freeform_tools=True,
        max_tokens_field="max_completion_tokens",
        strict_tools=True,
        structured_output=True,
        hosted_web_search=True,
        code_execution=True,
        vision=True,
        documents=True,
        cache_marks=True,
    ),
    "messages": Capabilities(
        thinking_types=frozenset(("adaptive", "enabled", "disabled", "between_tools")),
        efforts=("low", "medium", "high", "xhigh", "max"),
        top_k=True,
        prefill=True,
        name_max=128,  # Messages allows tool names of 128 characters
        strict_tools=True,
        structured_output=True,
        hosted_web_search=True,
        code_execution=True,
        citations=True,
        batch=True,
        vision=True,
        documents=True,
        cache_marks=True,
    ),
}
