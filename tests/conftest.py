"""Fixtures live in files named after what they give; this file only brings them in."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = [f"tests.{path.stem}" for path in sorted(Path(__file__).parent.glob("fix_*.py"))]

# Before any of them imports another: an assert in one of these says what it compared.
pytest.register_assert_rewrite(*pytest_plugins, "tests.whole.sdks", "tests.whole.wire")
