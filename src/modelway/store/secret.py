"""The installation's secret: without it the digests of keys in a stolen database are useless.

A file beside the database, or a value from the settings where many replicas share it.
"""

from __future__ import annotations

import hmac
import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from modelway.store import settings
from modelway.store.database import Database
from modelway.store.urls import StoreError

FILE_NAME = "secret"
SECRET_BYTES = 32  # as many as the hash that it keys
SECRET_CHARACTERS_MIN = 32  # of a configured value: 16 bytes in hexadecimal
_SETTING = "secret_check"
_CHECK_TEXT = b"modelway installation secret"


def secret_from_text(text: str) -> bytes:
    """A secret given by the settings. Raises StoreError when it is too short to be one."""
    text = text.strip()
    if len(text) < SECRET_CHARACTERS_MIN:
        raise StoreError(
            f"the installation's secret has {len(text)} characters, it needs {SECRET_CHARACTERS_MIN}; "
            "`openssl rand -hex 32` prints a good one"
        )
    return text.encode()


def secret_from_file(data_dir: Path) -> bytes:
    """The secret in `data_dir`, made on the first call. Raises StoreError if it cannot be read or trusted."""
    path = data_dir / FILE_NAME
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            _create(path)
        mode = stat.S_IMODE(path.stat().st_mode)
        text = path.read_text("ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"the installation's secret {path} cannot be read or made: {error}") from None
    if mode & 0o077:
        raise StoreError(f"{path} can be read by others (mode {mode:o}); run `chmod 600 {path}`")
    return secret_from_text(text)


async def check_secret(database: Database, secret: bytes) -> None:
    """Raise StoreError if this is not the secret that the keys in the database were made with."""
    check = hmac.digest(secret, _CHECK_TEXT, "sha256").hex()
    known = await database.read(lambda connection: settings.get(connection, _SETTING))
    if known is None:
        await database.write(lambda connection: settings.set_once(connection, _SETTING, check))
        known = await database.read(lambda connection: settings.get(connection, _SETTING))
    if known is None or not hmac.compare_digest(known, check):
        raise StoreError(
            "the installation's secret is not the one this database's keys were made with, so none of them "
            "would work; bring back the old secret (the file `secret` in the data directory, or the setting)"
        )


def _create(path: Path) -> None:
    """Whole or not at all, and one for all: a link fails where two starts race, a rename would not."""
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(SECRET_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
