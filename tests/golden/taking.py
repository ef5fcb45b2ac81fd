"""What a client of each protocol gets for every recording; `make snapshots` writes it down.

A recording `case.sse` of Chat gives `case.messages.sse` (through the neutral form, as every client's)
and `case.passed.sse` (client and upstream both speak Chat: the bytes pass). Ids count up, time stands still.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelway.conversation.errors import CallError
from modelway.conversation.translation import Translation
from modelway.protocols.failures import read_upstream_error
from tests.crossing.given import PROTOCOLS, RECORDINGS, translation

SNAPSHOTS = Path(__file__).parent / "snapshots"
FOLDERS = ("chat", "messages", "responses", "local")
REQUEST_ID = "req_golden"
PASSED = "passed"
# The status a refusal was recorded under, where its body does not say it (llama.cpp's does).
STATUSES = {"error_rate_limit": 429, "error_context_length": 400}


@dataclass(frozen=True)
class Case:
    """One recording towards one client; `client` is a protocol, or `passed`."""

    folder: str
    name: str
    suffix: str
    client: str

    def __str__(self) -> str:
        return f"{self.folder}/{self.name}.{self.client}{self.suffix}"

    @property
    def upstream(self) -> str:
        """The protocol that was recorded: the folder, or of the local model the name's beginning."""
        return self.name.partition("_")[0] if self.folder == "local" else self.folder

    @property
    def speaks(self) -> str:
        """The client's protocol."""
        return self.upstream if self.client == PASSED else self.client

    @property
    def recording(self) -> bytes:
        return (RECORDINGS / self.folder / f"{self.name}{self.suffix}").read_bytes()

    @property
    def snapshot(self) -> Path:
        return SNAPSHOTS / str(self)

    @property
    def refused_with(self) -> int | None:
        """The status, if the upstream answered with an error instead of an answer."""
        plain = self.name.removeprefix(f"{self.upstream}_") if self.folder == "local" else self.name
        if self.folder == "local" and plain.startswith("error"):
            status: int = json.loads(self.recording)["error"]["code"]
            return status
        return STATUSES.get(plain)


def cases() -> Iterator[Case]:
    """Every recorded answer for every client; the recorded requests are no answers."""
    for folder in FOLDERS:
        for path in sorted((RECORDINGS / folder).iterdir()):
            if path.suffix in (".json", ".sse") and not path.stem.startswith("request"):
                for client in (*PROTOCOLS, PASSED):
                    yield Case(folder, path.stem, path.suffix, client)


def taken(case: Case) -> bytes:
    """What the client gets; JSON is spread over lines so that a change of it can be read."""
    if case.suffix == ".sse":
        return _passed_stream(case) if case.client == PASSED else _stream(case)
    try:
        if case.refused_with is not None:
            raise read_upstream_error(case.refused_with, case.recording, {})
        body = _passed_whole(case) if case.client == PASSED else _whole(case)
    except CallError as error:
        body = json.dumps({"status": error.status_on(case.speaks), "body": error.body(REQUEST_ID)}).encode()
    return json.dumps(json.loads(body), indent=1, ensure_ascii=False).encode() + b"\n"


def _shared(case: Case, **asked: Any) -> Translation:
    made = translation(case.client, case.upstream, **asked)
    made.request_id = REQUEST_ID
    return made


def _stream(case: Case) -> bytes:
    usage: dict[str, Any] = {"stream_options": {"include_usage": True}} if case.client == "chat" else {}
    shared = _shared(case, stream=True, **usage)
    reader, writer = PROTOCOLS[case.upstream].reader(shared), PROTOCOLS[case.client].writer(shared)
    return b"".join(writer.write(event) for event in [*reader.read(case.recording), *reader.end()])


def _whole(case: Case) -> bytes:
    shared = _shared(case)
    return PROTOCOLS[case.client].write_reply(
        PROTOCOLS[case.upstream].read_reply(case.recording, shared), shared
    )


def _passed_stream(case: Case) -> bytes:
    watch = PROTOCOLS[case.upstream].watch(True, "the/alias", "far", True)
    return watch.feed(case.recording) + watch.end(None, REQUEST_ID)


def _passed_whole(case: Case) -> bytes:
    watch = PROTOCOLS[case.upstream].watch(False, "the/alias", "far", True)
    body = watch.feed(case.recording) + watch.end(None, REQUEST_ID)
    if watch.error is not None:
        raise watch.error
    return body


def rewrite() -> None:
    """Write every snapshot anew and remove those whose recording is gone."""
    current = {case.snapshot: taken(case) for case in cases()}
    for path, body in current.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    for path in SNAPSHOTS.rglob("*.*"):
        if path not in current:
            path.unlink()


if __name__ == "__main__":
    rewrite()
