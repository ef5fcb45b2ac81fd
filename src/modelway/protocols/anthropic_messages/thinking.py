"""How much a model should think, in the words this model takes: adaptive, a budget, or not at all.

Newer models decide by themselves and take an effort; older ones take a budget of tokens. Efforts and
budgets are mapped by one table, whose buckets are its inverse.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from modelway.conversation.request import EFFORTS, Effort, ReasoningSpec
from modelway.conversation.translation import Translation
from modelway.protocols.anthropic_messages.losses import LOSS
from modelway.protocols.anthropic_messages.wire import BUDGET_TOKENS_MIN, NAME

BUDGETS_TOKENS: dict[Effort, int] = {
    "minimal": 1024,
    "low": 2048,
    "medium": 8192,
    "high": 16384,
    "xhigh": 32768,
    "max": 63999,
}
# A budget below the first number is the effort beside it: half way between the budgets above.
_BUCKETS: tuple[tuple[int, Effort], ...] = (
    (1536, "minimal"),
    (5000, "low"),
    (12000, "medium"),
    (24000, "high"),
    (48000, "xhigh"),
)
_SAYABLE: tuple[Effort, ...] = ("low", "medium", "high", "xhigh", "max")
DEFAULT_BUDGET_TOKENS = BUDGETS_TOKENS["medium"]
_DISPLAYS = {"none": "omitted", "auto": "summarized", "concise": "summarized", "detailed": "summarized"}


class Plan(NamedTuple):
    """The `thinking` object and `output_config.effort` to send; None leaves the field out."""

    thinking: dict[str, Any] | None = None
    effort: Effort | None = None

    @property
    def thinks(self) -> bool:
        return self.thinking is not None and self.thinking["type"] in ("adaptive", "enabled")


def plan(spec: ReasoningSpec, max_tokens: int, translation: Translation) -> Plan:
    """What to send for `spec`; every compromise is warned about."""
    return _Planner(spec, max_tokens, translation).plan()


def without_thinking(planned: Plan, translation: Translation) -> Plan | None:
    """The plan with thinking switched off; None if this model always thinks."""
    if "disabled" not in translation.capabilities.thinking_types:
        return None
    return _Planner(ReasoningSpec("off", planned.effort), 0, translation).plan()


class _Planner:
    def __init__(self, spec: ReasoningSpec, max_tokens: int, translation: Translation) -> None:
        self.spec = spec
        self.max_tokens = max_tokens
        self.translation = translation
        self.types = translation.capabilities.thinking_types

    def plan(self) -> Plan:
        mode, effort = self.spec.mode, self.spec.effort
        if mode in ("off", "between_tools"):
            return self._off(str(mode))
        if mode is None and effort is None:
            return self._shown()
        if mode is None and self.translation.client == NAME:
            return Plan(None, self._effort(effort))
        if effort == "none":
            return self._off("off")
        if mode == "budget":
            return self._budget(self.spec.budget_tokens or DEFAULT_BUDGET_TOKENS)
        return self._adaptive(effort)

    def _shown(self) -> Plan:
        """Nothing was asked but a summary of the thinking: that takes thinking."""
        if self.spec.summary in (None, "none") or "adaptive" not in self.types:
            return Plan()
        return Plan(self._display({"type": "adaptive"}))

    def _off(self, mode: str) -> Plan:
        for kind in (mode, "disabled"):
            if kind in self.types:
                return Plan({"type": kind}, self._effort(self._quiet_effort()))
        if not self.types:
            return Plan()
        self._lose("reasoning.mode", "This model always thinks; its lowest effort is sent")
        return Plan(None, self._effort("low"))

    def _quiet_effort(self) -> Effort | None:
        """The effort asked for beside no thinking, as high as this model takes it then."""
        effort, most = self.spec.effort, self.translation.capabilities.effort_max_without_thinking
        if effort is None or effort == "none":
            return None
        if most is None or EFFORTS.index(effort) <= EFFORTS.index(most):
            return effort
        self._lose("reasoning.effort", f"Without thinking {most} is this model's highest effort, and is sent")
        return most

    def _adaptive(self, effort: Effort | None) -> Plan:
        if "adaptive" in self.types:
            return Plan(self._display({"type": "adaptive"}), self._effort(effort))
        if "enabled" not in self.types:
            self._lose("reasoning.mode", "This model does not think; nothing is sent")
            return Plan()
        if self.spec.mode == "adaptive":
            self._lose("reasoning.mode", "This model takes a budget only; one for the effort is sent")
        return self._enabled(BUDGETS_TOKENS.get(effort, 0) if effort else DEFAULT_BUDGET_TOKENS)

    def _budget(self, tokens: int) -> Plan:
        if "enabled" in self.types:
            return self._enabled(tokens)._replace(effort=self._effort(self.spec.effort))
        if "adaptive" not in self.types:
            self._lose("reasoning.mode", "This model does not think; nothing is sent")
            return Plan()
        effort = self.spec.effort or effort_of(tokens)
        self._lose(
            "reasoning.budget", f"This model takes no budget; effort {effort} stands for {tokens} tokens"
        )
        return Plan(self._display({"type": "adaptive"}), self._effort(effort))

    def _enabled(self, tokens: int) -> Plan:
        if self.max_tokens <= BUDGET_TOKENS_MIN:
            self._lose(
                "reasoning.budget",
                f"`max_tokens` is {self.max_tokens}, too few to think: {BUDGET_TOKENS_MIN} is the least",
            )
            return Plan()
        fitting = max(BUDGET_TOKENS_MIN, min(tokens, self.max_tokens - 1))
        return Plan(self._display({"type": "enabled", "budget_tokens": fitting}))

    def _display(self, thinking: dict[str, Any]) -> dict[str, Any]:
        display = _DISPLAYS.get(self.spec.summary or "")
        return {**thinking, "display": display} if display else thinking

    def _effort(self, effort: Effort | None) -> Effort | None:
        """The effort itself, or the next lower one this model knows."""
        if effort is None:
            return None
        known = [name for name in self.translation.capabilities.efforts if name in _SAYABLE]
        if not known:
            return None
        lower = [name for name in known if EFFORTS.index(name) <= EFFORTS.index(effort)]
        nearest = lower[-1] if lower else known[0]
        if nearest != effort:
            self._lose("reasoning.effort", f"This model does not know the effort {effort}; {nearest} is sent")
        return nearest

    def _lose(self, feature: str, detail: str) -> None:
        self.translation.lose(LOSS[feature], "reasoning", detail)


def effort_of(tokens: int) -> Effort:
    """The effort a thinking budget stands for."""
    return next((effort for below, effort in _BUCKETS if tokens < below), "max")
