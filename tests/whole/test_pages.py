"""The pages and the models' API over plain HTTP: no script, no browser."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import jsonschema_rs
import pytest

from tests.fix_gateway import Gateway, filled
from tests.fix_upstream import ScriptedUpstream
from tests.whole.wire import Answer, assert_is_the_envelope, call

PAGES = [
    "/",
    "/models",
    "/models/chat-model",
    "/models/anthropic/claude-opus-4-8",
    "/reference",
    "/playground",
]
CARDED = """\
providers:
  - {name: scripted-messages, kind: anthropic, base_url: $URL, api_key: $KEY}
engine: {start: never}
models:
  - {id: anthropic/claude-opus-4-8, aliases: [big], targets: [{provider: scripted-messages, model: opus}]}
  - {id: anthropic/claude-haiku-4-5, targets: [{provider: scripted-messages, model: haiku}]}
"""
HELLO = [{"role": "user", "content": "Hello"}]


def get(gateway: Gateway, path: str, **headers: str) -> Answer:
    return call(gateway, path, headers={"authorization": "", "content-type": "", **headers})


@pytest.fixture(scope="module")
def carded(tmp_path_factory: pytest.TempPathFactory, upstream_server: ScriptedUpstream) -> Iterator[Gateway]:
    """A gateway whose models have cards."""
    gateway = Gateway(tmp_path_factory.mktemp("carded"), filled(CARDED, upstream_server))
    yield gateway.start_new()
    assert gateway.stop() == 0, gateway.log_tail


@pytest.mark.parametrize("path", PAGES)
def test_a_page_needs_no_key_and_lets_no_other_host_in(gateway: Gateway, path: str) -> None:
    answer = get(gateway, path)
    page = answer.body.decode()

    assert answer.status == 200, answer
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.findall(r'(?:src|href|action)="(?:https?:)?//', page), "an address of another host"
    assert not re.findall(r"<script(?![^>]*\bsrc=)", page), "a script in the page, which the policy stops"
    assert not re.findall(r'\s(?:style|on\w+)="', page), "an inline style or handler, which the policy stops"


@pytest.mark.parametrize("path", PAGES)
def test_every_file_a_page_names_is_there(gateway: Gateway, path: str) -> None:
    files = re.findall(r'(?:src|href)="(/static/[^"]+)"', get(gateway, path).body.decode())

    assert len(files) >= 4
    for file in files:
        answer = get(gateway, file)
        assert answer.status == 200, file
        assert "immutable" in answer.headers["cache-control"]


def test_a_file_that_has_not_changed_is_not_sent_again(gateway: Gateway) -> None:
    first = get(gateway, "/static/site.js")
    again = get(gateway, "/static/site.js", **{"if-none-match": first.headers["etag"]})

    assert (again.status, again.body) == (304, b"")


@pytest.mark.parametrize("path", ["/static/../render.py", "/static/%2e%2e/render.py", "/static/nothing.js"])
def test_nothing_beside_the_static_files_is_served(gateway: Gateway, path: str) -> None:
    assert get(gateway, path).status == 404


def test_a_model_nobody_knows_is_a_page_that_says_so(gateway: Gateway) -> None:
    answer = get(gateway, "/models/" + quote("<script>alert(1)</script>"))

    assert answer.status == 404
    assert b"<script>alert" not in answer.body
    assert b"&lt;script&gt;" in answer.body


def test_what_is_searched_for_comes_back_as_text(gateway: Gateway) -> None:
    answer = get(gateway, "/models?q=" + quote('"><img src=x onerror=alert(1)>'))

    assert answer.status == 200
    assert b"<img src=x" not in answer.body


def test_the_filter_form_works_without_script(gateway: Gateway) -> None:
    page = get(gateway, "/models?vendor=anthropic&capability=prefill&sort=name").body.decode()
    shown = re.findall(r'<p class="id">([^<]+)</p>', page)

    assert shown
    assert all(name.startswith("anthropic/") for name in shown)
    assert re.search(r'name="capability" value="prefill" checked', page)


def test_the_model_switcher_works_without_script(gateway: Gateway) -> None:
    answer = get(gateway, "/models?open=anthropic/claude-opus-4-8&api=messages&lang=python")

    assert answer.status == 303
    assert answer.headers["location"] == "/models/anthropic/claude-opus-4-8?api=messages&lang=python"


def test_a_head_request_gets_the_headers_alone(gateway: Gateway) -> None:
    answer = call(gateway, "/models", method="HEAD")

    assert (answer.status, answer.body) == (200, b"")


def test_a_host_that_is_none_is_not_repeated_in_a_command(gateway: Gateway) -> None:
    answer = get(gateway, "/", host="$(reboot)")

    assert b"reboot" not in answer.body


def test_pages_can_be_switched_off(make_gateway: Callable[..., Gateway]) -> None:
    gateway = make_gateway(MODELWAY_PAGES="off").start()
    gateway.api_key = gateway.create_key("later")

    assert {get(gateway, path).status for path in (*PAGES, "/static/style.css")} == {404}
    assert get(gateway, "/openapi.json").status == 401
    assert call(gateway, "/openapi.json").status == 200


def test_a_form_is_a_schema_that_its_own_example_passes(carded: Gateway) -> None:
    form = call(carded, "/v1/models/big/form_schema?path=messages").json()

    assert form["request_example"]["model"] == "big"
    assert jsonschema_rs.is_valid(form["schema"], form["request_example"])
    assert not jsonschema_rs.is_valid(form["schema"], {**form["request_example"], "max_tokens": -1})


def test_one_model_tells_both_vendors_clients_what_it_is(carded: Gateway) -> None:
    model = call(carded, "/v1/models/big").json()

    assert (model["id"], model["object"], model["type"]) == ("big", "model", "model")
    assert model["max_input_tokens"] == 1_000_000
    assert model["capabilities"]["image_input"] == {"supported": True}
    assert {"name", "type", "required", "description"} <= model["form_schema"][0].keys()
    assert model["request_example"]["model"] == "big"


def test_a_form_for_a_path_that_is_none_is_a_400(carded: Gateway) -> None:
    answer = call(carded, "/v1/models/big/form_schema?path=telepathy")

    assert "telepathy" in assert_is_the_envelope(answer, 400, "invalid_request_error")["message"]


def looked_over(gateway: Gateway, body: dict[str, Any], path: str = "messages", **headers: str) -> Any:
    answer = call(gateway, f"/v1/validate?path={path}", body, headers=headers)
    assert answer.status == 200, answer
    return answer.json()


def test_a_right_request_is_valid_and_nothing_is_called(carded: Gateway, upstream: ScriptedUpstream) -> None:
    found = looked_over(carded, {"model": "big", "max_tokens": 5, "messages": HELLO})

    assert (found["valid"], found["violations"], found["warnings"]) == (True, [], [])
    assert upstream.calls == []
    assert carded.rows("SELECT * FROM usage") == []


def test_a_wrong_value_is_named_with_its_place_and_the_nearest_right_one(carded: Gateway) -> None:
    found = looked_over(carded, {"model": "big", "max_tokens": 999_999_999, "messages": HELLO})

    assert found["valid"] is False
    violation = found["violations"][0]
    assert violation["param"] == "/max_tokens"
    assert violation["received"] == 999_999_999
    assert violation["nearest"] == 128_000


def test_what_would_be_left_out_is_a_warning_and_with_strictness_a_violation(carded: Gateway) -> None:
    body = {"model": "big", "messages": HELLO, "temperature": 0.5}

    lenient = looked_over(carded, body, "chat")
    strict = looked_over(carded, body, "chat", **{"x-modelway-strict": "1"})

    assert lenient["valid"] is True
    assert lenient["warnings"][0]["param"] == "/temperature"
    assert "temperature" not in lenient["sent_as"]
    assert strict["valid"] is False
    assert strict["violations"][0]["param"] == "/temperature"


def test_what_only_the_protocol_knows_is_found_too(carded: Gateway) -> None:
    body = {"model": "big", "max_tokens": 5, "messages": [{"role": "user", "content": [{"type": "riddle"}]}]}

    found = looked_over(carded, body, "chat")

    assert found["valid"] is False
    assert "riddle" in found["violations"][0]["message"]


@pytest.mark.parametrize("body", [b"{", b"[]", b'"text"'])
def test_a_body_that_is_no_request_is_a_400(carded: Gateway, body: bytes) -> None:
    assert_is_the_envelope(call(carded, "/v1/validate", body), 400, "invalid_request_error")


@pytest.mark.parametrize("way", ["GET", "POST"])
def test_the_models_that_take_exactly_a_request_are_listed(carded: Gateway, way: str) -> None:
    body = {"messages": HELLO, "max_tokens": 100, "temperature": 0.5}
    if way == "GET":
        answer = call(carded, "/v1/models?path=chat&accepts=" + quote(json.dumps(body)))
    else:
        answer = call(carded, "/v1/models?path=chat", body)

    found = answer.json()
    assert [model["id"] for model in found["data"]] == ["anthropic/claude-haiku-4-5"]
    assert [each["id"] for each in found["refused_by"]] == ["anthropic/claude-opus-4-8"]
    assert found["refused_by"][0]["violations"][0]["param"] == "/temperature"


@pytest.mark.parametrize("path", ["/v1/validate", "/v1/models"])
def test_looking_needs_a_key(carded: Gateway, path: str) -> None:
    answer = call(carded, path, {"model": "big"}, headers={"authorization": ""})

    assert_is_the_envelope(answer, 401, "authentication_error")


def test_openapi_describes_every_path_that_answers(carded: Gateway) -> None:
    described = get(carded, "/openapi.json").json()

    assert described["openapi"].startswith("3.1")
    for path, verbs in described["paths"].items():
        for method in verbs:
            answer = call(carded, path.replace("{id}", "big"), method=method.upper())
            assert answer.status != 405, (method, path)
            assert b"There is nothing at" not in answer.body, (method, path)
