"""Both generations of the official SDKs, each in its own interpreter (see sdk_program.py)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast

import pytest

from tests.fix_gateway import REPOSITORY, Gateway

Generation = Literal["newest", "previous"]
GENERATIONS: tuple[Generation, ...] = ("newest", "previous")
PROGRAM = Path(__file__).parent / "sdk_program.py"
STOP_S = 10

Seen = dict[str, Any]


def interpreter(generation: Generation) -> str:
    """The newest SDKs live beside the tests; the previous majors where `make setup-dev` puts them."""
    if generation == "newest":
        return sys.executable
    named = os.environ.get("MODELWAY_SDK_PREVIOUS")
    return named or str(REPOSITORY / ".venv-sdk-previous" / "bin" / "python")


class Sdk:
    """A customer's program that uses one generation of both SDKs."""

    def __init__(self, generation: Generation) -> None:
        python = interpreter(generation)
        if not Path(python).exists():
            pytest.fail(f"the previous SDKs are not at {python}; `make test` installs them")
        unset = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("OPENAI_", "ANTHROPIC_"))
        }
        self._process = subprocess.Popen(
            [python, str(PROGRAM)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**unset, "NO_PROXY": "127.0.0.1", "PYTHONPATH": ""},
        )
        self.versions = self._read()

    def use(
        self, use: str, gateway: Gateway, arguments: Mapping[str, Any] | None = None, **more: Any
    ) -> Seen:
        """What the program saw; `more` overrides base_url, api_key, max_retries."""
        asked = {
            "use": use,
            "base_url": gateway.base_url,
            "api_key": gateway.api_key,
            "arguments": dict(arguments or {}),
            **more,
        }
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        return self._read()

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(STOP_S)
        self._process.stdout.close()

    def _read(self) -> Seen:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the SDK program ended with {self._process.poll()}"
        return cast(Seen, json.loads(line))
