"""Who may do what: the table, and what is said to who may not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from modelway.accounts.keys import Key
from modelway.accounts.roles import ROLES, RULES, Asker, Role, check, may
from modelway.conversation.errors import CallError

KEY = Key(id="key_1", account_id="acct_1", name="k", masked="sk-mw-abcd…wxyz", created_at_ms=0, member_id="m")
API = Asker(KEY, "owner", is_installation_owner=True)


def manager(role: Role | None, *, installation: bool = True) -> Asker:
    return Asker(replace(KEY, kind="management"), role, installation)


def test_what_has_no_row_nobody_may() -> None:
    for asker in (API, *(manager(role) for role in ROLES)):
        assert not may(asker, "weights:melt")
        with pytest.raises(CallError, match="nobody may 'weights:melt'") as caught:
            check(asker, "weights:melt")
        assert caught.value.kind.name == "forbidden"


def test_an_api_key_of_an_owner_only_reads_about_itself_and_its_account() -> None:
    allowed = {action for action in RULES if may(API, action)}

    assert allowed == {"key:read", "usage:read_own", "billing:read"}


def test_a_viewer_changes_nothing() -> None:
    allowed = {action for action in RULES if may(manager("viewer"), action)}

    assert all(action.partition(":")[2].startswith("read") for action in allowed), allowed


def test_every_role_may_what_the_one_below_it_may() -> None:
    below: set[str] = set()
    for role in reversed(ROLES):
        allowed = {action for action in RULES if may(manager(role), action)}
        assert below <= allowed
        below = allowed
    assert below == set(RULES), "an owner of the installation may do everything"


def test_another_account_does_nothing_to_the_installation() -> None:
    forbidden = {action for action in RULES if not may(manager("owner", installation=False), action)}

    assert forbidden == {action for action, rule in RULES.items() if rule.installation}
    assert {"accounts:write", "accounts:act", "money:write", "cards:write"} <= forbidden


def test_a_management_key_whose_member_is_gone_may_nothing() -> None:
    assert not [action for action in RULES if may(manager(None), action)]
    with pytest.raises(CallError, match="whose member is gone"):
        check(manager(None), "keys:read")


@pytest.mark.parametrize(
    ("asker", "action", "said"),
    [
        (API, "keys:write", "the API key sk-mw-abcd…wxyz may not make, change"),
        (manager("viewer"), "budgets:write", "a member who is owner or admin may"),
        (manager("admin", installation=False), "money:write", "in the account that owns this installation"),
    ],
)
def test_a_refusal_says_who_may(asker: Asker, action: str, said: str) -> None:
    with pytest.raises(CallError, match=said):
        check(asker, action)
