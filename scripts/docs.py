"""Writes the generated parts of docs/ and checks that every link between our own pages leads somewhere."""

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from scripts.reference import PAGES

ROOT = Path(__file__).resolve().parent.parent
DECISIONS = ROOT / "docs" / "decisions"
INDEX = re.compile(r"(<!-- index: .*? -->\n).*?(<!-- end of index -->)", re.S)
LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE_BLOCK = re.compile(r"^```.*?^```", re.S | re.M)
NOT_OURS = {".venv", ".venv-sdk-previous", "node_modules", "build", ".git", ".pytest_cache"}
GENERATED = {ROOT / "bench" / "RESULTS.md"}  # by `make bench`, so a clone may be without it


def index_of_decisions() -> str:
    """The index page with its table made anew from the first line of each page."""
    page = DECISIONS / "README.md"
    rows = ["", "| | decision |", "|--:|---|"]
    for path in sorted(DECISIONS.glob("[0-9]*.md")):
        number = int(path.name.partition("-")[0])
        rows.append(f"| {number} | [{title_of(number, path.read_text())}]({path.name}) |")
    table = "\n".join([*rows, "", ""])
    return INDEX.sub(lambda found: found[1] + table + found[2], page.read_text())


def title_of(number: int, page: str) -> str:
    """A decision's, from its first line; says what that should be where it is something else."""
    beginning, first = f"# {number}. ", page.partition("\n")[0]
    if not first.startswith(beginning):
        sys.exit(f"decision {number} begins with {first!r}; it should be {beginning!r} and its title")
    return first.removeprefix(beginning)


def generated() -> Iterator[tuple[Path, str]]:
    """Every page, or part of one, that is made from something else, with its text."""
    yield DECISIONS / "README.md", index_of_decisions()
    for name, make in PAGES.items():
        yield ROOT / "docs" / "reference" / name, make().rstrip("\n") + "\n"


def broken_links() -> Iterator[str]:
    for page in sorted(ROOT.rglob("*.md")):
        if NOT_OURS & set(page.relative_to(ROOT).parts):
            continue
        for target in LINK.findall(CODE_BLOCK.sub("", page.read_text())):
            path, _, _ = target.partition("#")
            found = (page.parent / path).resolve()
            is_ours = path and "://" not in target and not target.startswith("mailto:")
            if is_ours and found not in GENERATED and not found.exists():
                yield f"{page.relative_to(ROOT)}: the link to {target} leads nowhere"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing, fail if something would change")
    options = parser.parse_args()
    for page, text in generated():
        if not options.check:
            page.write_text(text)
        elif not page.exists() or page.read_text() != text:
            sys.exit(f"{page.relative_to(ROOT)} is not up to date: run `make docs`")
    broken = list(broken_links())
    if broken:
        sys.exit("\n".join(broken))
    print(f"docs: {len(list(ROOT.glob('docs/**/*.md')))} pages, every link leads somewhere")


if __name__ == "__main__":
    main()
