"""The recordings themselves: what the official SDKs make of them with no gateway in between."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.fix_gateway import Gateway
from tests.fix_upstream import ScriptedUpstream
from tests.whole.questions import Client
from tests.whole.sdks import Sdk
from tests.whole.test_sdks_scripted import CASES, UPSTREAMS, asked, assert_says, scripted, stream_scripted


@pytest.mark.parametrize("way", ["whole", "raw"])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("protocol", UPSTREAMS)
def test_a_recording_says_what_the_tests_think_it_says(
    sdk: Sdk, upstream: ScriptedUpstream, protocol: Client, case: str, way: str
) -> None:
    script = scripted if way == "whole" else stream_scripted
    model = script(upstream, protocol, case)
    provider: Any = SimpleNamespace(base_url=upstream.url, api_key="any")

    seen = sdk.use(f"{protocol} {way}", cast(Gateway, provider), asked(protocol, model, case))

    assert_says({**seen, "model": model}, CASES[case], protocol, model)
