"""Other people's programs, each in a folder of its own, run to their end or stopped with all they started."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from tests.fix_gateway import REPOSITORY, Gateway

NPM = REPOSITORY / "build" / "npm"
FRAMEWORKS = REPOSITORY / "build" / "frameworks"
STOP_S = 30
PROGRAM_S = 90  # a turn takes one or two seconds; other tests may hold both cores
OUTPUT_CHARACTERS_SHOWN_MAX = 3000

# All that a program is given of this process's environment.
BASIC = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}

Seen = dict[str, Any]


@dataclass(frozen=True)
class Finished:
    status: int
    out: str
    err: str

    def __str__(self) -> str:
        shown = (self.out[-OUTPUT_CHARACTERS_SHOWN_MAX:], self.err[-OUTPUT_CHARACTERS_SHOWN_MAX:])
        return f"ended with {self.status}\n--- out\n{shown[0]}\n--- err\n{shown[1]}"


def node_package(*path: str) -> Path:
    """A file of an installed npm package; skips the test, saying why, where there is none."""
    found = NPM.joinpath("node_modules", *path)
    if not (NPM / "installed.json").exists() or not found.exists():
        pytest.skip(
            f"{'/'.join(path)} is not installed; `make test` installs it where there is npm and a network"
        )
    return found


def frameworks_python() -> Path:
    """The interpreter beside the agent frameworks; skips the test, saying why, where there is none."""
    if not (FRAMEWORKS / "installed.lock").exists():
        pytest.skip(
            "the agent frameworks are not installed; `make test` installs them where there is a network"
        )
    return FRAMEWORKS / "bin" / "python"


def run(
    command: Sequence[str | Path],
    folder: Path,
    environment: Mapping[str, str],
    *,
    stdin: str = "",
    timeout_s: float = PROGRAM_S,
) -> Finished:
    """Runs it in `folder` with nothing of our environment but the path; fails when it does not end."""
    with subprocess.Popen(
        [str(word) for word in command],
        cwd=folder,
        env={**BASIC, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            out, err = process.communicate(stdin, timeout_s)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
            pytest.fail(f"{command[0]} was still running after {timeout_s} s:\n{out}\n{err}")
    return Finished(process.returncode, out, err)


class LineProgram:
    """A program that is asked one JSON line and answers one.

    It is kept running, because importing its packages takes longer than a call.
    """

    def __init__(self, command: Sequence[str | Path], environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**BASIC, **environment},
        )

    def ask(
        self, use: str, gateway: Gateway, arguments: Mapping[str, Any] | None = None, **more: Any
    ) -> Seen:
        """What the program saw when it did `use` with this gateway; `more` may override the key."""
        asked = {"use": use, "arguments": dict(arguments or {})}
        asked |= {"base_url": gateway.base_url, "api_key": gateway.api_key, **more}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        # Some packages print warnings there as well.
        line = next((line for line in self._process.stdout if line.startswith("{")), None)
        assert line is not None, f"the program ended with {self._process.poll()}"
        return cast(Seen, json.loads(line))

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(STOP_S)
        self._process.stdout.close()


def node_program(script: Path) -> LineProgram:
    """A Node program that uses the installed packages; their folder is its first argument."""
    node_package("openai", "package.json")
    return LineProgram(["node", script, NPM], {})
