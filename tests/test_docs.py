"""The documentation keeps up with the code: settings, errors, metrics, routes and features are all in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from modelway.conversation.errors import KINDS
from scripts.docs import title_of
from scripts.reference import ERROR_HELP, PAGES

ROOT = Path(__file__).parent.parent
REFERENCE = ROOT / "docs" / "reference"


@pytest.mark.parametrize("page", sorted(PAGES))
def test_a_generated_page_says_what_the_code_says(page: str) -> None:
    assert (REFERENCE / page).read_text() == PAGES[page]().rstrip("\n") + "\n", "run `make docs`"


@pytest.mark.parametrize("first", ["# A title", "# 2. A title", "19. A title", ""])
def test_a_decision_without_its_number_is_refused(first: str) -> None:
    assert title_of(19, "# 19. A title\n\ntext") == "A title"
    with pytest.raises(SystemExit, match="decision 19 begins with"):
        title_of(19, f"{first}\ntext")


def test_every_kind_of_error_has_a_cause_and_a_remedy() -> None:
    assert set(ERROR_HELP) == set(KINDS)


def test_every_route_is_documented() -> None:
    page = "".join((REFERENCE / name).read_text() for name in ("http.md", "management.md"))
    routes = set(
        re.findall(r'"(/(?:v1/[a-z_/]+|livez|readyz|metrics|openapi\.json))"', _sources("app.py", "api"))
    )
    assert {"/v1/messages", "/readyz"} <= routes, "the pattern no longer finds the routes"
    assert not {route for route in routes if route.rstrip("/") not in page}


def _sources(*names: str) -> str:
    texts = []
    for name in names:
        path = ROOT / "src" / "modelway" / name
        texts += [file.read_text() for file in ([path] if path.is_file() else sorted(path.glob("*.py")))]
    return "\n".join(texts)
