"""Where and for what a key may be used."""

from __future__ import annotations

from dataclasses import replace

import pytest

from modelway.accounts.keys import (
    RANDOM_BYTES,
    Key,
    may_call,
    mint_voucher,
    parse_addresses,
    parse_endpoints,
)
from modelway.conversation.errors import CallError

KEY = Key(id="key_1", account_id="acct_1", name="k", masked="sk-mw-abcd…wxyz", created_at_ms=0)


@pytest.mark.parametrize("address", ["10.1.2.3", "::ffff:10.1.2.3", "2001:db8::7"])
def test_an_address_within_a_listed_network_may(address: str) -> None:
    may_call(
        replace(KEY, addresses=parse_addresses(["10.0.0.0/8", "2001:db8::/32"])), "/v1/messages", address
    )


@pytest.mark.parametrize("address", ["11.1.2.3", "2001:db9::7", "", None, "unix:", "10.1.2.3, 11.1.2.3"])
def test_any_other_address_and_none_may_not(address: str | None) -> None:
    key = replace(KEY, addresses=parse_addresses(["10.0.0.0/8", "2001:db8::/32"]))

    with pytest.raises(CallError, match="may not be used from") as caught:
        may_call(key, "/v1/messages", address)
    assert caught.value.kind.name == "forbidden"


def test_networks_are_kept_in_their_usual_form() -> None:
    assert parse_addresses(["10.1.2.3/8", " 192.0.2.7 ", "10.0.0.0/8"]) == ("10.0.0.0/8", "192.0.2.7/32")
    assert parse_addresses([]) is None


@pytest.mark.parametrize("written", ["10.0.0.0/33", "localhost", "", "10.0.0"])
def test_what_is_no_network_is_refused(written: str) -> None:
    with pytest.raises(CallError, match="networks such as") as caught:
        parse_addresses([written])
    assert caught.value.param == "addresses"


def test_paths_may_have_a_star() -> None:
    key = replace(KEY, endpoints=parse_endpoints(["/v1/chat/*", "/v1/messages"]))

    may_call(key, "/v1/chat/completions", None)
    may_call(key, "/v1/messages", None)
    for path in ("/v1/messages/count_tokens", "/v1/responses"):
        with pytest.raises(CallError, match="it may use /v1/chat/"):
            may_call(key, path, None)


@pytest.mark.parametrize("written", ["v1/messages", "/v1/mess ages", "", "https://host/v1"])
def test_what_is_no_path_is_refused(written: str) -> None:
    with pytest.raises(CallError, match="paths such as"):
        parse_endpoints([written])


def test_a_management_key_calls_no_model() -> None:
    with pytest.raises(CallError, match="is a management key"):
        may_call(replace(KEY, kind="management"), "/v1/messages", None)


def test_vouchers_are_unlike_each_other_and_unlike_keys() -> None:
    one, other = mint_voucher(b"a" * RANDOM_BYTES), mint_voucher(b"b" * RANDOM_BYTES)

    assert one != other
    assert not one.startswith("sk-")
    with pytest.raises(ValueError, match="32 random bytes"):
        mint_voucher(b"a")
