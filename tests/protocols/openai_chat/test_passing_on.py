"""What an upstream of the same protocol gets: the client's own bytes."""

from __future__ import annotations

import json

from modelway.protocols.openai_chat import CHAT
from tests.protocols.openai_chat.given import body, translation


def test_T290_T292_T296_only_the_models_name_changes() -> None:
    odd = (
        b'{ "x": {"model": "inner", "big": 1180591620717411303424, "huge": 1e400},'
        b'\n"messages" :[{"role":"user","content":"\\"model\\":\\"m\\""}], "mod\\u0065l" : "m" ,"t":1.0}'
    )
    request = CHAT.parse(odd, {})

    assert request.passed("m", translation()) == odd
    assert request.passed("other", translation()) == odd.replace(b': "m" ,', b': "other" ,')


def test_T294_a_stream_is_asked_for_its_usage() -> None:
    plain = CHAT.parse(b' {"model":"m","messages":[{"role":"user","content":"x"}],"stream":true}', {})
    assert json.loads(plain.passed("m", translation()))["stream_options"] == {"include_usage": True}

    other = CHAT.parse(body(stream=True, stream_options={"include_obfuscation": False}), {})
    sent = json.loads(other.passed("n", translation()))
    assert sent["stream_options"] == {"include_obfuscation": False, "include_usage": True}
    assert sent["model"] == "n"

    asked = body(stream=True, stream_options={"include_usage": True})
    assert CHAT.parse(asked, {}).passed("m", translation()) == asked
