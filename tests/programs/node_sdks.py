"""The official Node SDKs behind one pipe: a line asks, a line answers (see node_program.mjs)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from tests.fix_gateway import Gateway
from tests.programs.running import NPM, node_package

PROGRAM = Path(__file__).parent / "node_program.mjs"
STOP_S = 10

Seen = dict[str, Any]


class NodeSdks:
    """A customer's Node program that uses both SDKs; kept running, because importing them takes longest."""

    def __init__(self) -> None:
        node_package("openai", "package.json")
        node = shutil.which("node")
        if node is None:
            pytest.skip("node was not found, so the Node SDKs cannot run")
        self._process = subprocess.Popen(
            [node, str(PROGRAM), str(NPM)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8"},
        )
        self.versions = self._read()

    def use(
        self, use: str, gateway: Gateway, arguments: Mapping[str, Any] | None = None, **more: Any
    ) -> Seen:
        """What the program saw; `more` overrides base_url, api_key, max_retries, stream."""
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
        assert line, f"the Node program ended with {self._process.poll()}"
        return cast(Seen, json.loads(line))
