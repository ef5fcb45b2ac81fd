"""No file passes 500 lines, and no function 60 without a reason written beside it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("src", "tests", "bench", "scripts")
SUFFIXES = {".py", ".sh", ".js", ".css", ".html", ".lua"}
FILE_LINES_MAX = 500  # half of it tells one story; past it a reader scrolls instead of reading
FUNCTION_LINES_MAX = 60  # one screen
VENDORED = "vendor"  # other people's files keep their size
REASON = re.compile(r"# long: \w+[^\w\n]+\w+")  # two words at the very least


def long_file(name: str, text: str) -> Iterator[str]:
    lines = len(text.splitlines())
    if lines > FILE_LINES_MAX:
        yield f"{name}: {lines} lines; {FILE_LINES_MAX} at most"


def long_functions(name: str, text: str) -> Iterator[str]:
    lines = text.splitlines()
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        length = (node.end_lineno or node.lineno) - node.lineno + 1
        beside = "\n".join(lines[node.lineno - 1 : max(node.lineno, node.body[0].lineno - 1)])
        if length > FUNCTION_LINES_MAX and not REASON.search(beside):
            limit = f"{FUNCTION_LINES_MAX} at most, or `# long: <reason>` beside the def"
            yield f"{name}:{node.lineno}: `{node.name}` has {length} lines; {limit}"


def sources() -> list[Path]:
    files = (path for folder in FOLDERS for path in (ROOT / folder).rglob("*"))
    return sorted(path for path in files if path.suffix in SUFFIXES and VENDORED not in path.parts)


def test_no_file_is_too_long_to_read() -> None:
    broken = [
        found for path in sources() for found in long_file(str(path.relative_to(ROOT)), path.read_text())
    ]

    assert not broken, "\n" + "\n".join(broken)


def test_no_function_is_longer_than_a_screen() -> None:
    python = [path for path in sources() if path.suffix == ".py"]
    broken = [
        found for path in python for found in long_functions(str(path.relative_to(ROOT)), path.read_text())
    ]

    assert python
    assert not broken, "\n" + "\n".join(broken)


def function_of(lines: int, comment: str = "") -> str:
    return f"def f() -> None:{comment}\n" + "    pass\n" * (lines - 1)


@pytest.mark.parametrize(("lines", "is_long"), [(500, False), (501, True)])
def test_a_file_of_501_lines_is_seen(lines: int, is_long: bool) -> None:
    assert bool(list(long_file("a.py", "x = 1\n" * lines))) is is_long


@pytest.mark.parametrize(
    ("text", "is_long"),
    [
        (function_of(60), False),
        (function_of(61), True),
        (f"async {function_of(61)}", True),
        ("class A:\n" + "\n".join(f"    {line}" for line in function_of(61).splitlines()), True),
        (function_of(61, "  # long: a table of vendor codes"), False),
        (function_of(61, "  # long:"), True),
        (function_of(61, "  # long: sorry"), True),
        (function_of(61) + "# long: far from the def\n", True),
    ],
)
def test_a_function_of_61_lines_needs_a_reason_beside_it(text: str, is_long: bool) -> None:
    assert bool(list(long_functions("a.py", text))) is is_long
