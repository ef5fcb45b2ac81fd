"""The installation's secret: made once, kept to ourselves, missed when it is another."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from modelway.store.database import Database
from modelway.store.secret import check_secret, secret_from_file, secret_from_text
from modelway.store.urls import StoreError


def test_it_is_made_once_and_kept_to_ourselves(tmp_path: Path) -> None:
    secret = secret_from_file(tmp_path / "data")

    assert secret_from_file(tmp_path / "data") == secret
    assert len(secret) == 64
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["secret"]
    assert stat.S_IMODE((tmp_path / "data" / "secret").stat().st_mode) == 0o600


def test_starts_that_race_agree(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as starts:
        assert len(set(starts.map(secret_from_file, [tmp_path] * 64))) == 1


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    secret_from_file(tmp_path)
    (tmp_path / "secret").chmod(0o640)

    with pytest.raises(StoreError, match=r"mode 640.*chmod 600"):
        secret_from_file(tmp_path)


def test_a_short_secret_is_refused_and_not_shown() -> None:
    with pytest.raises(StoreError, match="has 7 characters, it needs 32") as caught:
        secret_from_text("hunter2")
    assert "hunter2" not in str(caught.value)
    assert secret_from_text(" " + "x" * 32 + "\n") == b"x" * 32


@pytest.mark.anyio
async def test_another_secret_than_the_keys_were_made_with_is_noticed(database: Database) -> None:
    await check_secret(database, b"a" * 32)
    await check_secret(database, b"a" * 32)

    with pytest.raises(StoreError, match="bring back the old secret"):
        await check_secret(database, b"b" * 32)
