"""Configuration as code: `modelway.yaml`, then `MODELWAY_…` variables, which win.

Only `app` and `cli` read it; everything else receives values.
"""

from modelway.config.faults import ConfigError
from modelway.config.knobs import (
    Config,
    EngineConfig,
    LimitsConfig,
    ModelConfig,
    PriceConfig,
    ProviderConfig,
    TargetConfig,
    TimeoutConfig,
)
from modelway.config.reading import (
    USUAL_VARIABLES,
    environment,
    load,
    resolve_key,
    unknown_variables,
    valkey_of,
)

__all__ = [
    "USUAL_VARIABLES",
    "Config",
    "ConfigError",
    "EngineConfig",
    "LimitsConfig",
    "ModelConfig",
    "PriceConfig",
    "ProviderConfig",
    "TargetConfig",
    "TimeoutConfig",
    "environment",
    "load",
    "resolve_key",
    "unknown_variables",
    "valkey_of",
]
