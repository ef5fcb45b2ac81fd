"""The examples of the page on usage and billing: they run as printed, and their answers have that shape."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.fix_gateway import REPOSITORY, Gateway, until
from tests.fix_upstream import CHAT, ScriptedUpstream, recording, whole
from tests.management.conftest import Keys, ask

PAGE = (REPOSITORY / "docs" / "how-to" / "usage-and-billing.md").read_text()
COMMANDS = re.findall(r"```sh\n(curl .*?)```", PAGE, re.DOTALL)
ANSWERS = re.findall(r"```sh\n(curl .*?)```\n\n```json\n(.*?)```", PAGE, re.DOTALL)
RUN_S = 20


def shape(value: object) -> object:
    """The names in it; of a list, those of its first entry."""
    match value:
        case dict():
            return {name: shape(each) for name, each in value.items()}
        case [first, *_]:
            return [shape(first)] if isinstance(first, dict) else []
        case _:
            return [] if value == [] else None


@pytest.fixture
def environment(gateway: Gateway, upstream: ScriptedUpstream, keys: Keys) -> dict[str, str]:
    """A management key of an account with a budget and two calls."""
    upstream.answers(CHAT, whole(recording("whole/chat_text.json")))
    body = {"model": "chat-model", "messages": [{"role": "user", "content": "Hello."}]}
    for _ in range(2):
        assert ask(gateway, keys["us api"], "POST", CHAT, body).status == 200
    ask(gateway, keys["owner"], "POST", "/v1/budgets", {"account": "us", "limit_usd": 10, "alerts": [80]})
    logs = "/v1/usage/logs?outcome=ok&limit=2"
    until(lambda: len(ask(gateway, keys["us owner"], "GET", logs).json()["data"]) == 2, "both rows")
    return {**os.environ, "MODELWAY_URL": gateway.base_url, "MODELWAY_KEY": keys["us owner"]}


def test_every_example_runs_as_printed(environment: dict[str, str], tmp_path: Path) -> None:
    assert (len(COMMANDS), len(ANSWERS)) == (5, 4), "the pattern no longer finds the examples"
    for command in COMMANDS:
        done = subprocess.run(
            ["bash", "-c", command],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            timeout=RUN_S,
            check=False,
        )
        assert done.returncode == 0, (command, done.stderr)
        for shown, answer in ANSWERS:
            if shown == command:
                assert shape(json.loads(done.stdout)) == shape(json.loads(answer)), command
    assert (tmp_path / "usage.csv").read_text().startswith("member_id,member_name,requests,")
