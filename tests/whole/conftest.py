"""Fixtures of the outside-in tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.whole.sdks import GENERATIONS, Sdk


@pytest.fixture(scope="session", params=GENERATIONS)
def sdk(request: pytest.FixtureRequest) -> Iterator[Sdk]:
    """The official SDKs; every test with it runs with the newest and with the previous majors."""
    program = Sdk(request.param)
    yield program
    program.close()
