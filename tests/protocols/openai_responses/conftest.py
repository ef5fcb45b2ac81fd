"""`openai_client`: the official SDK against a server on loopback that answers what a test gives it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import openai
import pytest

Answering = Callable[[bytes], openai.OpenAI]


@pytest.fixture
def openai_client() -> Iterator[Answering]:
    answer = b""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            streamed = not answer.startswith(b"{")
            self.send_response(200)
            self.send_header("content-type", "text/event-stream" if streamed else "application/json")
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    client = openai.OpenAI(
        api_key="test", base_url=f"http://127.0.0.1:{server.server_port}/v1", max_retries=0
    )

    def answering(body: bytes) -> openai.OpenAI:
        nonlocal answer
        answer = body
        return client

    try:
        yield answering
    finally:
        client.close()
        server.shutdown()
        thread.join()
        server.server_close()
