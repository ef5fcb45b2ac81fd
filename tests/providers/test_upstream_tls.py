"""TLS to providers: a certificate that a known authority gave to that name, or no call."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest
import trustme

from modelway.conversation.errors import CallError
from tests.providers.raw_provider import JSON, Line, Provider, a_client, answering, ask, run


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    """A certificate authority that the system trusts, as far as this process can see."""
    made = trustme.CA()
    made.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    return made


def server_side(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(context)
    return context


def error_of_a_call(context: ssl.SSLContext) -> CallError:
    async def work() -> None:
        async with Provider(answering(JSON), context) as provider, a_client() as client:
            await ask(client, provider.url)

    with pytest.raises(CallError) as caught:
        run(work())
    return caught.value


def test_a_provider_with_a_good_certificate_is_asked_over_one_connection(authority: trustme.CA) -> None:
    async def work() -> None:
        async with Provider(answering(JSON), server_side(authority, "127.0.0.1")) as provider:
            async with a_client() as client:
                for _ in range(3):
                    assert await ask(client, provider.url, b"x" * 500_000) == b"{}"
            assert provider.connections == 1

    run(work())


def test_the_name_is_told_and_checked(authority: trustme.CA) -> None:
    asked: list[str | None] = []
    context = server_side(authority, "localhost")
    context.sni_callback = lambda _socket, name, _context: asked.append(name)

    async def work() -> None:
        async with Provider(answering(JSON), context) as provider, a_client() as client:
            assert await ask(client, f"https://localhost:{provider.port}/") == b"{}"

    run(work())
    assert asked == ["localhost"]


def test_a_certificate_for_another_name_is_refused(authority: trustme.CA) -> None:
    error = error_of_a_call(server_side(authority, "elsewhere.example"))

    assert error.code == "upstream_unreachable"
    assert error.message == "The provider cannot be reached: its TLS certificate was not accepted"


def test_a_certificate_nobody_vouches_for_is_refused(authority: trustme.CA) -> None:
    error = error_of_a_call(server_side(trustme.CA(), "127.0.0.1"))

    assert error.message == "The provider cannot be reached: its TLS certificate was not accepted"


def test_a_provider_that_does_not_speak_tls_is_a_502(authority: trustme.CA) -> None:
    async def handler(line: Line) -> None:
        await line.reader.read(10)
        await line.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async def work() -> None:
        async with Provider(handler) as provider, a_client() as client:
            await ask(client, provider.url.replace("http:", "https:"))

    with pytest.raises(CallError) as caught:
        run(work())
    assert caught.value.code == "upstream_unreachable"


def test_the_time_to_connect_includes_the_handshake(authority: trustme.CA) -> None:
    async def handler(line: Line) -> None:
        await line.left()

    async def work() -> None:
        async with Provider(handler) as provider, a_client(connect_timeout_s=0.2) as client:
            await ask(client, provider.url.replace("http:", "https:"))

    with pytest.raises(CallError) as caught:
        run(work())
    assert caught.value.kind.name == "upstream_timeout"
    assert caught.value.message == "The provider could not be reached in time"


def test_a_hang_up_over_tls_reaches_the_provider(authority: trustme.CA) -> None:
    left = asyncio.Event()

    async def handler(line: Line) -> None:
        await line.request()
        await line.send(JSON[:-1])
        await line.left()
        left.set()

    async def work() -> None:
        async with Provider(handler, server_side(authority, "127.0.0.1")) as provider, a_client() as client:
            upstream = await client.open(provider.url, b"", {})
            upstream.close()
            await left.wait()

    run(work())
