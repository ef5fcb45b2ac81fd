"""Where a call may go: the model's targets in the order they are tried."""

from __future__ import annotations

from modelway.calls.call import Services
from modelway.providers.registry import Model, Target

# Attempts one call may cost, fallback included; more would only delay the error.
ATTEMPTS_MAX = 3


def route(model: Model, services: Services) -> list[Target]:
    """One target drawn by weight, then the others, then the fallbacks; at most ATTEMPTS_MAX."""
    if len(model.targets) == 1:
        return [*model.targets, *model.fallback][:ATTEMPTS_MAX]
    first = _drawn(model, services.choose())
    others = [target for target in model.targets if target is not first and target.weight]
    return [first, *others, *model.fallback][:ATTEMPTS_MAX]


def _drawn(model: Model, draw: float) -> Target:
    """The target at `draw` (0 ≤ draw < 1) of the weights laid end to end."""
    total = sum(target.weight for target in model.targets)
    point = draw * total
    for target in model.targets:
        point -= target.weight
        if point < 0:
            return target
    return model.targets[-1]
