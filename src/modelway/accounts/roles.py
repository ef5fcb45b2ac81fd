"""Who may do what: one row per action, and nothing that has no row. Pure.

A management key does what the role of its member allows; an API key calls models and reads about itself
and the account that pays for it, as the vendor of the seed documents has it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from modelway.accounts.keys import Key
from modelway.conversation.errors import CallError

Role = Literal["owner", "admin", "developer", "viewer"]

ROLES: tuple[Role, ...] = get_args(Role)

# Changes in an account are its owners' and admins'; a developer keeps the keys they work with themselves.
_OWNER: tuple[Role, ...] = ("owner",)
_ADMINS: tuple[Role, ...] = ("owner", "admin")
_MAKERS: tuple[Role, ...] = ("owner", "admin", "developer")


@dataclass(frozen=True, slots=True)
class Rule:
    """Who may do one thing: management keys of members with one of `roles`; with `api_keys`, every API key
    too; with `installation`, only in the account that owns the installation.
    """

    says: str
    roles: tuple[Role, ...]
    api_keys: bool = False
    installation: bool = False


RULES: dict[str, Rule] = {
    "key:read": Rule("read about the key one holds oneself", ROLES, api_keys=True),
    "keys:read": Rule("list the account's keys, masked", ROLES),
    "keys:write": Rule("make, change, rotate and revoke API keys of one's own", _MAKERS),
    "keys:write_any": Rule("the same for keys of other members, or of nobody", _ADMINS),
    "keys:write_management": Rule("the same for management keys of anybody", _OWNER),
    "usage:read_own": Rule("read what one's own key has used", ROLES, api_keys=True),
    "usage:read": Rule("read what every key of the account has used", ROLES),
    "billing:read": Rule(
        "read the account's balance, and of its statement what one may read of its usage",
        ROLES,
        api_keys=True,
    ),
    "billing:write": Rule("redeem vouchers", _ADMINS),
    "budgets:read": Rule("list the account's budgets and where they stand", ROLES),
    "budgets:write": Rule("make, change and remove budgets", _ADMINS),
    "members:read": Rule("list the account's members", ROLES),
    "members:write": Rule("add members and change what they are", _ADMINS),
    "members:write_owner": Rule("make somebody an owner, or an owner something else", _OWNER),
    "audit:read": Rule("read who changed what in the account", _ADMINS),
    "accounts:read": Rule("list every account", _ADMINS, installation=True),
    "accounts:write": Rule("make accounts and change their terms", _ADMINS, installation=True),
    "accounts:act": Rule("do in another account what one may do in one's own", _ADMINS, installation=True),
    "money:write": Rule("top up, withdraw, refund and make vouchers", _ADMINS, installation=True),
    "cards:write": Rule("add and change model cards", _ADMINS, installation=True),
}


@dataclass(frozen=True, slots=True)
class Asker:
    """Whoever asks: a key, and what the member it belongs to is. `role` None: it belongs to nobody."""

    key: Key
    role: Role | None
    is_installation_owner: bool  # in the account that owns the installation

    @property
    def account_id(self) -> str:
        return self.key.account_id

    @property
    def member_id(self) -> str | None:
        return self.key.member_id


def may(asker: Asker, action: str) -> bool:
    """Whether `asker` may do `action`; what has no row nobody may."""
    rule = RULES.get(action)
    if rule is None:
        return False
    if asker.key.kind == "api":
        return rule.api_keys
    return asker.role in rule.roles and (asker.is_installation_owner or not rule.installation)


def check(asker: Asker, action: str) -> None:
    """Return if `asker` may do `action`, else raise 403 with who may."""
    if may(asker, action):
        return
    rule = RULES.get(action)
    if rule is None:
        raise CallError("forbidden", f"nobody may {action!r}")
    raise CallError("forbidden", f"{_described(asker)} may not {rule.says}; {_allowed(rule)} may")


def _described(asker: Asker) -> str:
    if asker.key.kind == "api":
        return f"the API key {asker.key.masked}"
    if asker.role is None:
        return f"the management key {asker.key.masked}, whose member is gone,"
    where = "" if asker.is_installation_owner else " of an account that does not own this installation"
    return f"the management key {asker.key.masked} of a member who is {asker.role}{where}"


def _allowed(rule: Rule) -> str:
    roles = rule.roles[0] if len(rule.roles) == 1 else f"{', '.join(rule.roles[:-1])} or {rule.roles[-1]}"
    where = " in the account that owns this installation" if rule.installation else ""
    return f"a management key of a member who is {roles}{where}"
