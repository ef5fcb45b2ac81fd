"""A client with no opinions: plain HTTP towards the gateway, where an SDK would tidy things up."""

from __future__ import annotations

import http.client
import json
import re
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from tests.fix_gateway import Gateway

TIMEOUT_S = 60  # the local model takes its time on a loaded machine
REQUEST_ID_HEADERS = ("request-id", "x-request-id", "x-inference-id")


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def request_id(self) -> str:
        """The one id of all three headers."""
        ids = {self.headers.get(name) for name in REQUEST_ID_HEADERS}
        assert len(ids) == 1, f"the request id headers differ: {self.headers}"
        found = ids.pop()
        assert found, f"no request id in {self.headers}"
        return found


def encoded(body: object) -> bytes | None:
    match body:
        case None:
            return None
        case bytes():
            return body
        case _:
            return json.dumps(body).encode()


def headers_for(gateway: Gateway, headers: Mapping[str, str] | None) -> dict[str, str]:
    """The usual headers; an empty value takes one away."""
    usual = {"authorization": f"Bearer {gateway.api_key}", "content-type": "application/json"}
    return {name: value for name, value in {**usual, **(headers or {})}.items() if value}


def call(
    gateway: Gateway,
    path: str,
    body: object = None,
    *,
    method: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """One call, whole. `body` is bytes or something for JSON; POST if there is one."""
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=TIMEOUT_S)
    try:
        data = encoded(body)
        verb = method or ("GET" if data is None else "POST")
        connection.request(verb, path, data, headers_for(gateway, headers))
        response = connection.getresponse()
        return Answer(response.status, lowered(response), response.read())
    finally:
        connection.close()


def lowered(response: http.client.HTTPResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in response.getheaders()}


class OpenStream:
    """A streamed answer that the test reads frame by frame and may walk away from."""

    def __init__(self, connection: http.client.HTTPConnection, response: http.client.HTTPResponse) -> None:
        assert connection.sock is not None
        self._socket: socket.socket = connection.sock
        self._response = response
        self.status = response.status
        self.headers = lowered(response)

    @property
    def request_id(self) -> str:
        return Answer(self.status, self.headers, b"").request_id

    def frame(self) -> bytes:
        """The next frame with its blank line; b"" at the end. Comments count as frames."""
        lines = b""
        while line := self._response.readline():
            lines += line
            if line == b"\n":
                break
        return lines

    def some(self, count: int) -> bytes:
        """The next so many bytes of the body."""
        return self._response.read(count)

    def frames(self, count: int) -> list[bytes]:
        return [self.frame() for _ in range(count)]

    def rest(self) -> bytes:
        """Everything to the end; raises if the connection broke."""
        return self._response.read()

    def hang_up(self) -> float:
        """Closes the connection; when, on the clock of `time.monotonic`."""
        now_s = time.monotonic()
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        return now_s


@contextmanager
def stream(
    gateway: Gateway, path: str, body: object, headers: Mapping[str, str] | None = None
) -> Iterator[OpenStream]:
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=TIMEOUT_S)
    try:
        # A kept connection; with `connection: close` http.client would let go of the socket itself.
        connection.request("POST", path, encoded(body), headers_for(gateway, headers))
        kept = connection.sock
        response = connection.getresponse()
        connection.sock = kept
        yield OpenStream(connection, response)
    finally:
        connection.close()


@contextmanager
def raw_socket(gateway: Gateway) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=TIMEOUT_S) as connection:
        yield connection


def raw(gateway: Gateway, sent: bytes) -> Answer:
    """These bytes on a new connection, and the first answer to them (status 0: closed without one)."""
    with raw_socket(gateway) as connection:
        # Refused before it was all said? The answer may still be there.
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(sent)
        return read_answer(connection)


def read_answer(connection: socket.socket) -> Answer:
    received = b""
    try:
        while b"\r\n\r\n" not in received:
            if not (data := connection.recv(65536)):
                return Answer(0, {}, received)
            received += data
        head, _, body = received.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        while not _is_whole(headers, body) and (data := connection.recv(65536)):
            body += data
    except ConnectionResetError:
        return Answer(0, {}, received)
    if headers.get("transfer-encoding") == "chunked":
        body = b"".join(re.split(rb"[0-9a-f]+\r\n", body.removesuffix(b"0\r\n\r\n")))
    return Answer(int(first.split(" ")[1]), headers, body)


def _is_whole(headers: Mapping[str, str], body: bytes) -> bool:
    if headers.get("transfer-encoding") == "chunked":
        return body.endswith(b"0\r\n\r\n")
    return len(body) >= int(headers.get("content-length", "0"))


def events(stream_bytes: bytes) -> list[dict[str, Any]]:
    """The JSON of every frame, in order (`[DONE]` and comments left out)."""
    found = []
    for line in stream_bytes.split(b"\n"):
        if line.startswith(b"data:") and (data := line[5:].strip()) != b"[DONE]":
            found.append(json.loads(data))
    return found


def assert_is_the_envelope(answer: Answer, status: int, kind: str, code: str | None = None) -> dict[str, Any]:
    """The one error envelope, with the header's request id; the error inside it."""
    assert answer.status == status, answer
    assert answer.headers["content-type"].startswith("application/json"), answer
    body = answer.json()
    assert set(body) == {"type", "error", "request_id"}, body
    assert body["type"] == "error"
    assert body["request_id"] == answer.request_id
    error: dict[str, Any] = body["error"]
    assert {"type", "message", "param", "code"} <= set(error), error
    assert error["type"] == kind, error
    assert error["message"]
    if code is not None:
        assert error["code"] == code, error
    return error


MINIMAL: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "Say hello."}]},
    "/v1/messages": {"messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 16},
    "/v1/responses": {"input": "Say hello.", "max_output_tokens": 16},
}


def minimal(path: str, model: str, **more: object) -> dict[str, Any]:
    """The smallest body that path accepts, for `model`."""
    return {"model": model, **MINIMAL[path], **more}
