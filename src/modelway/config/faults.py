"""What is wrong with a configuration, said so that it can be mended: file, line, value, what is right."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec
import yaml
from msgspec import Struct

from modelway.config.knobs import Config

# What a pattern means, for those that a person should not have to read.
EXAMPLES = {
    "base_url": "an address such as http://127.0.0.1:9001/v1",
    "database": "`sqlite` or an address such as postgresql://user@host/name",
    "valkey": "an address such as valkey://127.0.0.1:6379",
    "name": "1 to 64 letters, digits, `_`, `.` and `-`, beginning with a letter or digit",
}
# Shown with the fault: only values that are one word or number, and never where a secret may stand.
SECRET_NAMES = ("key", "secret", "database", "valkey", "token", "password")
SHOWN_CHARACTERS_MAX = 100
_USER_INFO = re.compile(r"//[^/@\s]*@")

Steps = list[str | int]


class ConfigError(Exception):
    """The configuration cannot be used. The message names file, line, value and what would be right."""


class Document:
    """A configuration file as parsed: its values, and where each of them stands."""

    def __init__(self, path: Path | None, text: str) -> None:
        self.path = path
        self.given: dict[str, str] = {}  # what the environment or the command line set, and by which name
        try:
            self.root = yaml.compose(text, Loader=yaml.CSafeLoader)
            values = yaml.load(text, Loader=yaml.CSafeLoader) if self.root is not None else {}
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            place = self._place(mark.line + 1 if mark else None)
            raise ConfigError(f"{place}: not YAML: {getattr(error, 'problem', error)}") from None
        if not isinstance(values, dict):
            kind = type(values).__name__
            raise ConfigError(f"{self._place(1)}: the file holds {kind}; it must hold `name: value` lines")
        self.values: dict[str, Any] = values
        self._refuse_doubles(self.root)

    def _refuse_doubles(self, node: yaml.Node | None) -> None:
        """YAML keeps the last of two equal names, which is nearly never what was meant."""
        if isinstance(node, yaml.SequenceNode):
            for child in node.value:
                self._refuse_doubles(child)
        if not isinstance(node, yaml.MappingNode):
            return
        seen: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if seen.setdefault(key.value, line) != line:
                raise ConfigError(
                    f"{self._place(line)}: `{key.value}` is given twice, first in line {seen[key.value]}"
                )
            self._refuse_doubles(value)

    def _place(self, line: int | None) -> str:
        place = str(self.path or "environment or command line")
        return f"{place}:{line}" if line is not None and self.path is not None else place

    def fault(self, what: str, *steps: str | int, value: object = None) -> ConfigError:
        """`what` is wrong at `steps` (`"models", 0, "targets"`)."""
        dotted, node, line = "", self.root, None
        for step in steps:
            dotted += f"[{step}]" if isinstance(step, int) else (f".{step}" if dotted else step)
            node, line = _child(node, step, line)
        place = self.given.get(dotted) or f"{self._place(line)}: `{dotted or 'the file'}`"
        return ConfigError(f"{place}: {what}{_shown(dotted, value)}")

    def invalid(self, error: msgspec.ValidationError, tree: dict[str, Any]) -> ConfigError:
        """msgspec's fault, with its place in the file and in words for people."""
        text, _, where = str(error).partition(" - at `$")
        steps: Steps = [
            int(index) if index else name for name, index in re.findall(r"\.([\w-]+)|\[(\d+)\]", where)
        ]
        if unknown := re.search(r"unknown field `([^`]+)`", text):
            return self._unknown(steps, unknown.group(1))
        value: Any = tree
        for step in steps:
            value = _child_value(value, step)
        name = next((step for step in reversed(steps) if isinstance(step, str)), "")
        if "regex" in text and name in EXAMPLES:
            text = f"it must be {EXAMPLES[name]}"
        if "enum" in text:
            choices = ", ".join(_choices(_type_at(steps)))
            text = f"it must be one of {choices}"
        return self.fault(text, *steps, value=value)

    def _unknown(self, steps: Steps, name: str) -> ConfigError:
        known = list(getattr(_type_at(steps), "__struct_fields__", ()))
        near = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean `{near[0]}`?" if near else f"there are {', '.join(known)}"
        return self.fault(f"there is no such setting; {hint}", *steps, name)


def _shown(dotted: str, value: object) -> str:
    if value is None or any(name in dotted.lower() for name in SECRET_NAMES):
        return ""
    if isinstance(value, str):
        return f" (it is {_USER_INFO.sub('//…@', value[:SHOWN_CHARACTERS_MAX])!r})"
    return f" (it is {value!r})" if isinstance(value, bool | int | float) else ""


def _child_value(value: Any, step: str | int) -> Any:
    if isinstance(value, dict):
        return value.get(step)
    if isinstance(value, list | tuple) and isinstance(step, int) and step < len(value):
        return value[step]
    return None


def _child(node: yaml.Node | None, step: str | int, line: int | None) -> tuple[yaml.Node | None, int | None]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(step):
                return value, key.start_mark.line + 1
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        child = node.value[step]
        return child, child.start_mark.line + 1
    return None, line


def _type_at(steps: Steps) -> Any:
    """The declared type of the setting at `steps`, stripped of what only checks it."""
    here: Any = Config
    for step in steps:
        here = get_args(here)[0] if isinstance(step, int) else get_type_hints(here).get(step, Any)
        if get_origin(here) not in (tuple, Literal) and get_args(here):
            here = next((each for each in get_args(here) if _is_shape(each)), here)
    return here


def _is_shape(type_: Any) -> bool:
    return get_origin(type_) in (tuple, Literal) or (isinstance(type_, type) and issubclass(type_, Struct))


def _choices(type_: Any) -> list[str]:
    return [str(value) for value in get_args(type_)]
