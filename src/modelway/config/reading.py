"""From file, environment and command line to one `Config`."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import yaml

from modelway.config.faults import ConfigError, Document
from modelway.config.knobs import Config, EngineConfig, ProviderConfig, TimeoutConfig

PREFIX = "MODELWAY_"
# Where each group of knobs has its variables: `a.b` is MODELWAY_A_B.
_GROUPS = ((Config, ""), (EngineConfig, "engine"), (TimeoutConfig, "timeouts"))
# Read by clients and tests, not by the gateway.
NOT_SETTINGS = {"MODELWAY_API_KEY", "MODELWAY_SDK_PREVIOUS", "MODELWAY_CONFIG"}
NEEDS_BASE_URL = "openai-compatible"


def load(path: Path | None, environ: Mapping[str, str], **overrides: object) -> Config:
    """The configuration of file, environment and command line (`overrides`, None = not given).

    Without `path`, `modelway.yaml` in the working directory is read if it is there. Raises ConfigError.
    """
    path = path or (Path("modelway.yaml") if Path("modelway.yaml").is_file() else None)
    document = Document(path, _read(path) if path else "")
    tree = _with_environment(document.values, environ)
    tree.update({name: value for name, value in overrides.items() if value is not None})
    try:
        config = msgspec.convert(tree, Config)
    except msgspec.ValidationError as error:
        raise document.invalid(error, tree) from None
    _check_providers(config, document)
    _check_models(config, document)
    if config.workers > 1 and config.database.startswith("sqlite"):
        raise document.fault(
            f"{config.workers} workers need PostgreSQL: sqlite is written by one process", "workers"
        )
    return config


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text (byte {error.start})") from None


def _variables() -> dict[str, tuple[str, msgspec.structs.FieldInfo]]:
    """Every variable's name, with the group and the knob it sets."""
    return {
        f"{PREFIX}{group}_{knob.name}".upper().replace("__", "_"): (group, knob)
        for struct, group in _GROUPS
        for knob in msgspec.structs.fields(struct)
        if knob.name not in {"engine", "timeouts"}
    }


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """`MODELWAY_…` variables that set nothing, each with the nearest that does."""
    known = _variables()
    lines = []
    for name in environ:
        if name.startswith(PREFIX) and name not in known and name not in NOT_SETTINGS:
            near = difflib.get_close_matches(name, known, 1)
            lines.append(f"{name} sets nothing" + (f"; did you mean {near[0]}?" if near else ""))
    return lines


def _with_environment(tree: dict[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    tree = dict(tree)
    for name, (group, knob) in _variables().items():
        value = environ.get(name)
        if value is None or value == "":
            continue
        parsed = _from_text(value, knob.type)
        if group:
            tree[group] = {**(tree.get(group) or {}), knob.name: parsed}
        else:
            tree[knob.name] = parsed
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


def _check_providers(config: Config, document: Document) -> None:
    names: list[str] = []
    for index, row in enumerate(config.providers):
        if row.name in names:
            raise document.fault(f"two providers are named {row.name!r}", "providers", index, "name")
        if row.name == "local" and row.kind != "local":
            raise document.fault(
                "`local` is the model inside; choose another name", "providers", index, "name"
            )
        if row.kind == NEEDS_BASE_URL and row.base_url is None:
            what = f"kind {row.kind} needs a `base_url` such as http://127.0.0.1:9001/v1"
            raise document.fault(what, "providers", index)
        names.append(row.name)


def _check_models(config: Config, document: Document) -> None:
    """What no type can say: names are unique, targets name providers that exist."""
    known = {"local", *(row.name for row in config.providers)}
    seen: dict[str, int] = {}
    for index, model in enumerate(config.models):
        for group, targets in (("targets", model.targets), ("fallback", model.fallback)):
            for number, target in enumerate(targets):
                if target.provider not in known:
                    what = f"no provider is named {target.provider!r}; there are {', '.join(sorted(known))}"
                    raise document.fault(what, "models", index, group, number, "provider")
        for name in (model.id, *model.aliases):
            if seen.setdefault(name.lower(), index) != index:
                what = f"{name!r} is already the name of models[{seen[name.lower()]}]"
                raise document.fault(what, "models", index)


def resolve_key(provider: ProviderConfig, environ: Mapping[str, str]) -> str | None:
    """The provider's credential: `env:NAME` is looked up, anything else is the key itself."""
    if provider.api_key is None or not provider.api_key.startswith("env:"):
        return provider.api_key
    return environ.get(provider.api_key.removeprefix("env:")) or None


def environment() -> Mapping[str, str]:
    return os.environ
