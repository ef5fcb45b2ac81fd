"""From file, environment and command line to one `Config`."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from decimal import Decimal
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import msgspec
import yaml

from modelway.config.faults import ConfigError, Document
from modelway.config.knobs import (
    Config,
    EngineConfig,
    LimitsConfig,
    ModelConfig,
    ProviderConfig,
    TimeoutConfig,
)
from modelway.limits.valkey import Address, AddressError, parse_address

PREFIX = "MODELWAY_"
# Where each group of knobs has its variables: `a.b` is MODELWAY_A_B.
_GROUPS = ((Config, ""), (EngineConfig, "engine"), (TimeoutConfig, "timeouts"), (LimitsConfig, "limits"))
# Read by clients and tests, not by the gateway.
NOT_SETTINGS = {"MODELWAY_API_KEY", "MODELWAY_SDK_PREVIOUS"}
# A provider whose key is in its usual variable is there without being written down.
USUAL_VARIABLES = {"openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY"}
NEEDS_BASE_URL = "openai-compatible"
# A price's finest step is a nano-dollar, per million tokens.
PRICE_PLACES_MAX = 9
_PATHS = (("data_dir",), ("cards",), ("engine", "model_path"))


def load(path: Path | None, environ: Mapping[str, str], **overrides: object) -> Config:
    """The configuration of file, environment and command line (`overrides`, None = not given).

    Without `path`, `modelway.yaml` in the working directory is read if it is there. Relative folders
    stand beside the file; those of the command line and the environment in the working directory.
    Raises ConfigError.
    """
    path = path or (Path("modelway.yaml") if Path("modelway.yaml").is_file() else None)
    document = Document(path, _read(path) if path else "")
    tree = document.values
    _put_beside(tree, path)
    _take_environment(tree, environ, document)
    for name, value in overrides.items():
        if value is not None:
            tree[name] = value
            document.given[name] = f"--{name.replace('_', '-')}"
    try:
        config = msgspec.convert(tree, Config)
    except msgspec.ValidationError as error:
        raise document.invalid(error, tree) from None
    _check_providers(config, document)
    _check_models(config, document, environ)
    _check_whole(config, document, environ)
    return config


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text (byte {error.start})") from None


def _put_beside(tree: dict[str, Any], path: Path | None) -> None:
    """Relative folders of the file, and the default data folder, stand beside the file."""
    if path is None:
        return
    tree.setdefault("data_dir", Config().data_dir)
    for *groups, name in _PATHS:
        place: Any = tree
        for group in groups:
            place = place.get(group)
        if isinstance(place, dict) and isinstance(place.get(name), str):
            place[name] = str(path.parent / Path(place[name]).expanduser())


def _variables() -> dict[str, tuple[str, msgspec.structs.FieldInfo]]:
    """Every variable's name, with the group and the knob it sets."""
    return {
        f"{PREFIX}{group}_{knob.name}".upper().replace("__", "_"): (group, knob)
        for struct, group in _GROUPS
        for knob in msgspec.structs.fields(struct)
        if knob.name not in {"engine", "timeouts", "limits"}
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


def _take_environment(tree: dict[str, Any], environ: Mapping[str, str], document: Document) -> None:
    for variable, (group, knob) in _variables().items():
        value = environ.get(variable)
        if not value:
            continue
        place = tree.setdefault(group, {}) if group else tree
        if isinstance(place, dict):
            place[knob.name] = _from_text(value, knob.type)
            document.given[f"{group}.{knob.name}".lstrip(".")] = variable


def _from_text(value: str, type_: object) -> object:
    """An environment variable is text; numbers are converted, lists and maps read as YAML."""
    try:
        return msgspec.convert(value, type_, strict=False)
    except (msgspec.ValidationError, TypeError):
        if not value.startswith(("[", "{")):
            return value
    try:
        return yaml.safe_load(value)
    except yaml.YAMLError:
        return value


def _check_providers(config: Config, document: Document) -> None:
    names: list[str] = []
    for index, row in enumerate(config.providers):
        if row.name in names:
            raise document.fault(f"two providers are named {row.name!r}", "providers", index, "name")
        if (row.name == "local") != (row.kind == "local"):
            what = "`local` is the name and the kind of the model inside, and of nothing else"
            raise document.fault(what, "providers", index, "name")
        if row.kind == NEEDS_BASE_URL and row.base_url is None:
            what = f"kind {row.kind} needs a `base_url` such as http://127.0.0.1:9001/v1"
            raise document.fault(what, "providers", index)
        if row.api_key and not row.api_key.strip().isprintable():
            raise document.fault("it has characters that no header can carry", "providers", index, "api_key")
        names.append(row.name)


def _check_models(config: Config, document: Document, environ: Mapping[str, str]) -> None:
    """What no type can say: names are unique, targets name providers that exist, prices are exact."""
    known = {row.name for row in config.providers}
    known |= {name for name, variable in USUAL_VARIABLES.items() if environ.get(variable)}
    known |= {"local"} if config.engine.start != "never" else set()
    seen: dict[str, int] = {}
    for index, model in enumerate(config.models):
        for group, targets in (("targets", model.targets), ("fallback", model.fallback)):
            for number, target in enumerate(targets):
                if target.provider not in known:
                    there = ", ".join(sorted(known)) or "none"
                    what = f"no provider is named {target.provider!r}; there are: {there}"
                    raise document.fault(what, "models", index, group, number, "provider")
        for name in (model.id, *model.aliases):
            if seen.setdefault(name.lower(), index) != index:
                what = f"{name!r} is already the name of models[{seen[name.lower()]}]"
                raise document.fault(what, "models", index)
        _check_price(model, index, document)


def _check_price(model: ModelConfig, index: int, document: Document) -> None:
    for knob in model.price.__struct_fields__ if model.price else ():
        value = getattr(model.price, knob)
        try:
            places = 0 if value is None else -int(Decimal(str(value)).as_tuple().exponent)
        except (ArithmeticError, ValueError):
            places = PRICE_PLACES_MAX + 1
        if places > PRICE_PLACES_MAX:
            what = f"a price is a number of USD with at most {PRICE_PLACES_MAX} decimal places"
            raise document.fault(what, "models", index, "price", knob, value=value)


def _check_whole(config: Config, document: Document, environ: Mapping[str, str]) -> None:
    for index, network in enumerate(config.trusted_proxies):
        try:
            ip_network(network, strict=False)
        except ValueError:
            what = "it must be an address or network such as 10.0.0.0/8"
            raise document.fault(what, "trusted_proxies", index, value=network) from None
    if config.workers > 1 and config.database.startswith("sqlite"):
        what = f"{config.workers} workers need PostgreSQL: sqlite is written by one process"
        raise document.fault(what, "workers")
    try:
        valkey_of(config, environ)
    except AddressError as error:
        raise document.fault(str(error), "valkey") from None


def valkey_of(config: Config, environ: Mapping[str, str]) -> Address | None:
    """Where the shared counters are, None for nowhere. Raises AddressError, which shows nothing of it."""
    if config.valkey is None:
        return None
    if not config.valkey.startswith("env:"):
        return parse_address(config.valkey)
    name = config.valkey.removeprefix("env:")
    if not (text := environ.get(name)):
        raise AddressError(f"the variable {name} is not set")
    return parse_address(text)


def resolve_key(provider: ProviderConfig, environ: Mapping[str, str]) -> str | None:
    """The provider's credential: `env:NAME` is looked up, anything else is the key itself."""
    key = provider.api_key
    if key is not None and key.startswith("env:"):
        key = environ.get(key.removeprefix("env:"))
    return key.strip() or None if key else None


def environment() -> Mapping[str, str]:
    return os.environ
