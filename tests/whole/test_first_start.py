"""The first minutes of an installation: an address, a key, a line to paste; then managing keys."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from tests.fix_gateway import PRINTED_KEY, UPSTREAM_KEY, Gateway, until
from tests.fix_upstream import CHAT, MESSAGES, ScriptedUpstream, recording, streamed, whole
from tests.whole.wire import assert_is_the_envelope, call, minimal

CURL = re.compile(r"curl (?:[^\n]*\\\n)*[^\n]*")
PASTED_S = 60
PROMPT_CANARY = "prompt-canary-5183"
HEADER_CANARY = "header-canary-7721"


def paste(gateway: Gateway, **environment: str) -> dict[str, Any]:
    """What the printed `curl` line answers in a shell."""
    line = CURL.search(gateway.out_path.read_text())
    assert line
    done = subprocess.run(
        ["bash", "-c", line.group()],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        timeout=PASTED_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    assert "error" not in answer, answer
    return answer


def test_the_first_start_prints_an_address_a_key_and_a_line_that_works(
    make_gateway: Callable[..., Gateway],
) -> None:
    gateway = make_gateway(None)
    gateway.start()
    printed = until(
        lambda: CURL.search(gateway.out_path.read_text()) and gateway.out_path.read_text(), "a curl line"
    )

    assert gateway.base_url in printed
    assert '"max_tokens": ' in printed, "the model may go on for minutes"
    assert len(set(PRINTED_KEY.findall(printed))) == 1, printed
    assert paste(gateway)["usage"]

    assert gateway.stop() == 0
    keys = gateway.rows("SELECT id FROM keys")
    assert len(keys) == 1
    gateway.out_path.unlink()
    gateway.log_path.unlink()
    gateway.start()

    assert gateway.base_url in until(lambda: gateway.out_path.read_text(), "what the second start prints")
    assert not PRINTED_KEY.search(gateway.log), "a second start shows no key"
    assert gateway.rows("SELECT id FROM keys") == keys
    again = paste(gateway, MODELWAY_API_KEY=PRINTED_KEY.findall(printed)[0])
    assert again["usage"], "the second start's line takes the key from the environment"


@pytest.fixture(scope="module")
def good_config() -> str:
    return "providers:\n  - {name: lab, kind: openai-compatible, base_url: http://127.0.0.1:9/v1}\n"


def test_check_accepts_a_good_file(make_gateway: Callable[..., Gateway], good_config: str) -> None:
    gateway = make_gateway(good_config)

    done = gateway.run("check", "--config", "modelway.yaml")

    assert done.returncode == 0, done.stdout + done.stderr


BAD_FILES: list[tuple[str, str, int, str]] = [
    ("unknown-setting", "prot: 8080\n", 1, "prot"),
    ("wrong-type", "log_level: info\nport: eighty\n", 2, "eighty"),
    ("not-yaml", "providers:\n  - {name: lab\n", 3, "YAML"),
    ("unknown-kind", "providers:\n  - {name: lab, kind: openia}\n", 2, "openia"),
    (
        "unknown-provider",
        "providers:\n  - {name: lab, kind: openai}\nmodels:\n  - {id: x, targets: [{provider: lap}]}\n",
        4,
        "lap",
    ),
]


@pytest.mark.parametrize(
    ("config", "line", "shown"), [bad[1:] for bad in BAD_FILES], ids=[bad[0] for bad in BAD_FILES]
)
def test_check_names_the_line_at_fault(
    make_gateway: Callable[..., Gateway], config: str, line: int, shown: str
) -> None:
    gateway = make_gateway(None)
    (gateway.folder / "modelway.yaml").write_text(config)

    done = gateway.run("check", "--config", "modelway.yaml")

    said = done.stdout + done.stderr
    assert done.returncode == 1, said
    assert f"modelway.yaml:{line}" in said
    assert shown in said
    assert "Traceback" not in said


def test_serve_refuses_a_bad_file_the_same_way(make_gateway: Callable[..., Gateway]) -> None:
    gateway = make_gateway("prot: 8080\n")

    done = gateway.run("serve", "--config", "modelway.yaml", "--data-dir", str(gateway.data_dir))

    assert done.returncode == 1
    assert "modelway.yaml:1" in done.stdout + done.stderr


def listed(gateway: Gateway) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(gateway.manage("keys", "list", "--json"))
    return rows


def test_a_key_made_while_the_gateway_runs_works_until_it_is_revoked(gateway: Gateway) -> None:
    made = gateway.create_key("short-lived")
    headers = {"authorization": f"Bearer {made}"}

    assert call(gateway, "/v1/models", headers=headers).status == 200
    rows = [row for row in listed(gateway) if row["name"] == "short-lived"]
    assert len(rows) == 1
    assert made not in json.dumps(rows), "a key is shown once, when it is made"
    gateway.manage("keys", "revoke", rows[0]["id"])
    until(lambda: call(gateway, "/v1/models", headers=headers).status == 401, "401 for a revoked key")
    refused = call(gateway, "/v1/models", headers=headers)

    assert_is_the_envelope(refused, 401, "authentication_error", "invalid_api_key")
    assert call(gateway, "/v1/models").status == 200, "the other keys go on"


def test_no_secret_and_no_prompt_reaches_the_log_or_the_database(
    gateway: Gateway, upstream: ScriptedUpstream
) -> None:
    echo = f'{{"error":{{"message":"no such key {UPSTREAM_KEY}","type":"invalid_request_error"}}}}'
    prompt = [{"role": "user", "content": PROMPT_CANARY}]
    headers = {"x-canary": HEADER_CANARY, "user-agent": HEADER_CANARY}
    upstream.answers(CHAT, whole(recording("whole/chat_text.json")), whole(echo.encode(), status=401))
    upstream.answers(MESSAGES, streamed(recording("whole/messages_text.sse")))

    good = call(gateway, CHAT, minimal(CHAT, "chat-model", messages=prompt), headers=headers)
    refused = call(gateway, CHAT, minimal(CHAT, "chat-model", messages=prompt), headers=headers)
    translated = call(
        gateway, CHAT, minimal(CHAT, "messages-model", messages=prompt, stream=True), headers=headers
    )
    broken = call(gateway, CHAT, f'{{"{PROMPT_CANARY}": '.encode(), headers=headers)
    unknown = call(gateway, CHAT, {}, headers={"authorization": f"Bearer {gateway.api_key}x"})

    assert [good.status, translated.status, broken.status, unknown.status] == [200, 200, 400, 401]
    assert_is_the_envelope(refused, 502, "api_error", "upstream_auth")
    assert UPSTREAM_KEY not in refused.body.decode()
    gateway.usage_of(translated.request_id)
    until(lambda: translated.request_id in gateway.log, "the call's log line")
    for secret in (gateway.api_key, UPSTREAM_KEY, PROMPT_CANARY, HEADER_CANARY):
        assert secret not in gateway.log
        for path in gateway.data_dir.iterdir():
            if path.is_file():
                assert secret.encode() not in path.read_bytes(), path


def test_every_log_line_is_json_and_a_calls_line_says_what_it_was(
    gateway: Gateway, upstream: ScriptedUpstream
) -> None:
    upstream.answers(CHAT, whole(recording("whole/chat_text.json")))

    answer = call(gateway, CHAT, minimal(CHAT, "chat-model"))

    until(lambda: answer.request_id in gateway.log, "the call's log line")
    written = gateway.log_path.read_text() + gateway.out_path.read_text()
    lines = [json.loads(line) for line in written.splitlines() if line.startswith("{")]
    (line,) = [line for line in lines if line.get("request_id") == answer.request_id]
    assert line["model"] == "chat-model"
    assert line["status"] == 200
