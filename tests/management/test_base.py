"""What every management path does: who asks, which format, what is refused."""

from __future__ import annotations

import csv
import io

import pytest

from tests.fix_gateway import Gateway
from tests.management.conftest import Keys, bearer
from tests.whole.wire import assert_is_the_envelope, call


@pytest.fixture
def manager(keys: Keys) -> dict[str, str]:
    """The header of a management key of the installation's owner."""
    return bearer(keys["owner"])


def test_either_header_opens_a_management_path(gateway: Gateway, manager: dict[str, str]) -> None:
    text = manager["authorization"].removeprefix("Bearer ")

    for headers in (manager, {"authorization": "", "x-api-key": text}):
        answer = call(gateway, "/v1/key", headers=headers)
        assert (answer.status, answer.json()["kind"]) == (200, "management")
        assert answer.headers["cache-control"] == "no-store"
        assert text not in answer.body.decode()


def test_without_a_key_there_is_nothing_to_see(gateway: Gateway) -> None:
    for path in ("/v1/key", "/v1/keys", "/v1/keys/key_1", "/v1/keys/a/b"):
        assert_is_the_envelope(
            call(gateway, path, headers={"authorization": ""}), 401, "authentication_error"
        )


def test_an_api_key_reads_itself_and_does_not_manage(gateway: Gateway) -> None:
    assert call(gateway, "/v1/key").json()["kind"] == "api"
    error = assert_is_the_envelope(call(gateway, "/v1/keys"), 403, "permission_error")
    assert "a management key of a member who is" in error["message"]


def test_a_management_key_calls_no_model(gateway: Gateway, manager: dict[str, str]) -> None:
    for path in ("/v1/chat/completions", "/v1/messages", "/v1/responses", "/v1/validate", "/v1/models"):
        answer = call(gateway, path, {"model": "chat-model"}, headers=manager)
        error = assert_is_the_envelope(answer, 403, "permission_error")
        assert "models take an API key" in error["message"]


def test_pages_of_keys_end(gateway: Gateway, manager: dict[str, str]) -> None:
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = call(gateway, f"/v1/keys?limit=1&cursor={cursor}", headers=manager).json()
        assert page["object"] == "list"
        assert page["has_more"] == (page["next_cursor"] is not None)
        seen += [key["id"] for key in page["data"]]
        cursor = page["next_cursor"]
    assert seen == [key["id"] for key in call(gateway, "/v1/keys", headers=manager).json()["data"]]
    assert len(seen) >= 2


@pytest.mark.parametrize("asked", [("?format=csv", {}), ("", {"accept": "text/csv"})])
def test_lists_come_as_csv(
    gateway: Gateway, manager: dict[str, str], asked: tuple[str, dict[str, str]]
) -> None:
    query, headers = asked
    answer = call(gateway, f"/v1/keys{query}", headers=manager | headers)

    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(answer.body.decode())))
    listed = call(gateway, "/v1/keys", headers=manager).json()["data"]
    assert [row["id"] for row in rows] == [key["id"] for key in listed]
    assert "'=owner" in [row["name"] for row in rows], "a spreadsheet would take the name for a formula"


@pytest.mark.parametrize(
    ("path", "param"),
    [("/v1/keys?limt=1", "limt"), ("/v1/keys?limit=0", "limit"), ("/v1/keys?format=xml", "format")],
)
def test_a_wrong_parameter_is_named(gateway: Gateway, manager: dict[str, str], path: str, param: str) -> None:
    error = assert_is_the_envelope(call(gateway, path, headers=manager), 400, "invalid_request_error")
    assert error["param"] == param


def test_what_is_not_there_is_404(gateway: Gateway, manager: dict[str, str]) -> None:
    for path in ("/v1/keys/key_nobody", "/v1/keys/", "/v1/keys/a/b", "/v1/keys?account=nobody"):
        assert_is_the_envelope(call(gateway, path, headers=manager), 404, "not_found_error")
