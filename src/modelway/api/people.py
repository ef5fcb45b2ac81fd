"""`/v1/members`, `/v1/accounts` and `/v1/audit`: who is there, who pays, who changed what."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from modelway.accounts.rates import RateLimits
from modelway.accounts.roles import Role, check
from modelway.api.management import (
    PAGE_SIZE,
    PAGE_SIZE_MAX,
    AccountQuery,
    AnyAccount,
    Asked,
    Managed,
    Page,
    PageQuery,
    page_of,
)
from modelway.api.rates import RatesBody, rates_object
from modelway.api.reading import Usd, moment, nano_usd, usd
from modelway.manage import money, people
from modelway.manage.money import Statement
from modelway.manage.trail import list_deeds
from modelway.store.people import Account, Billing, Member
from modelway.store.trail import Deed

MEMBER_COLUMNS = ("id", "account_id", "name", "role", "created_at")
ACCOUNT_COLUMNS = ("id", "name", "billing", "limit_usd", "rate_limits", "created_at")
DEED_COLUMNS = (
    "id",
    "account_id",
    "at",
    "via",
    "key_id",
    "member_id",
    "request_id",
    "action",
    "subject",
    "details",
)
BillingKind = Annotated[
    Billing, Meta(description="prepaid spends what was put in; postpaid may owe up to its limit.")
]


class MemberBody(Struct, frozen=True, forbid_unknown_fields=True):
    """Somebody new."""

    name: str
    role: Role = "developer"
    account: AnyAccount = None


class RoleBody(Struct, frozen=True, forbid_unknown_fields=True):
    """What somebody becomes."""

    role: Role
    account: AnyAccount = None


class AccountBody(Struct, frozen=True, forbid_unknown_fields=True):
    """An account to be made."""

    name: str
    billing: BillingKind = "postpaid"
    limit_usd: Annotated[Usd | None, Meta(description="What a postpaid account may owe; null: no limit.")] = (
        None
    )
    rate_limits: Annotated[
        RatesBody | None, Meta(description="How fast all its keys together may go; null: no limit.")
    ] = None


class TermsBody(Struct, frozen=True, forbid_unknown_fields=True):
    """Another way to pay."""

    billing: BillingKind
    limit_usd: Usd | None = None
    rate_limits: Annotated[
        RatesBody | UnsetType | None, Meta(description="They stay as they are if this is left out.")
    ] = UNSET


class AccountsQuery(Struct, frozen=True):
    """Which page of the accounts."""

    cursor: str = ""
    limit: Annotated[int, Meta(ge=1, le=PAGE_SIZE_MAX)] = PAGE_SIZE


async def list_members(asked: Asked) -> Page:
    account = await asked.account_id(asked.query.account)
    found = await people.list_members(asked.services.database, account)
    return Page([member_object(member) for member in found], MEMBER_COLUMNS)


async def add_member(asked: Asked) -> object:
    body: MemberBody = asked.body
    account = await asked.account_id(body.account)
    if body.role == "owner":
        check(asked.asker, "members:write_owner")
    added = await people.add_member(asked.services.database, account, body.name, body.role, asked.source)
    return member_object(added)


async def change_role(asked: Asked) -> object:
    body: RoleBody = asked.body
    account = await asked.account_id(body.account)
    changed = await people.change_role(
        asked.services.database, account, asked.id, body.role, asked.source, asked.asker
    )
    return member_object(changed)


async def remove_member(asked: Asked) -> object:
    account = await asked.account_id(asked.query.account)
    await people.remove_member(asked.services.database, account, asked.id, asked.source, asked.asker)
    return {"object": "member", "id": asked.id, "deleted": True}


async def list_accounts(asked: Asked) -> Page:
    query: AccountsQuery = asked.query
    found = await people.list_accounts(asked.services.database, query.cursor, query.limit + 1)
    return page_of(found, query.limit, account_object, ACCOUNT_COLUMNS)


async def create_account(asked: Asked) -> object:
    body: AccountBody = asked.body
    made = await people.create_account(
        asked.services.database,
        body.name,
        asked.source,
        billing=body.billing,
        limit_nano_usd=_limit(body.limit_usd),
        rate_limits=_rates(body.rate_limits),
    )
    return account_object(made)


async def read_account(asked: Asked) -> object:
    return statement_object(await money.show(asked.services.database, asked.id))


async def change_terms(asked: Asked) -> object:
    body: TermsBody = asked.body
    limit = _limit(body.limit_usd)
    await money.change_terms(asked.services.database, asked.id, body.billing, limit, asked.source)
    if not isinstance(body.rate_limits, UnsetType):
        rates = _rates(body.rate_limits)
        await people.change_rate_limits(asked.services.database, asked.id, rates, asked.source)
    return await read_account(asked)


async def read_trail(asked: Asked) -> Page:
    query: PageQuery = asked.query
    account = await asked.account_id(query.account)
    found = await list_deeds(
        asked.services.database,
        account,
        query.cursor or None,
        query.limit + 1,
        strangers=asked.asker.is_installation_owner,
    )
    return page_of(found, query.limit, deed_object, DEED_COLUMNS)


def _limit(limit_usd: str | float | None) -> int | None:
    return None if limit_usd is None else nano_usd(limit_usd, "limit_usd")


def _rates(body: RatesBody | None) -> RateLimits | None:
    return None if body is None else body.limits()


def member_object(member: Member) -> dict[str, object]:
    return {
        "object": "member",
        "id": member.id,
        "account_id": member.account_id,
        "name": member.name,
        "role": member.role,
        "created_at": moment(member.created_at_ms),
    }


def account_object(account: Account) -> dict[str, object]:
    return {
        "object": "account",
        "id": account.id,
        "name": account.name,
        "billing": account.billing,
        "limit_usd": usd(account.limit_nano_usd),
        "rate_limits": rates_object(account.rate_limits),
        "created_at": moment(account.created_at_ms),
    }


def statement_object(statement: Statement) -> dict[str, object]:
    money = statement.money
    return account_object(statement.account) | {
        "balance_usd": usd(money.balance_nano_usd),
        "credit_usd": usd(money.credit_nano_usd),
        "spent_usd": usd(money.posted_nano_usd),
        "held_usd": usd(money.held_nano_usd),
        "available_usd": usd(money.available_nano_usd),
    }


def deed_object(deed: Deed) -> dict[str, object]:
    return {
        "object": "deed",
        "id": deed.id,
        "account_id": deed.account_id,
        "at": moment(deed.at_ms),
        "via": deed.via,
        "key_id": deed.key_id,
        "member_id": deed.member_id,
        "request_id": deed.request_id,
        "action": deed.action,
        "subject": deed.subject,
        "details": deed.details,
    }


ROWS = (
    Managed(
        "GET", "/v1/members", "members:read", list_members, "Members", "List the members",
        query=AccountQuery, returns="Member", is_page=True,
    ),
    Managed(
        "POST", "/v1/members", "members:write", add_member, "Members", "Add a member",
        "Only owners make owners.", body=MemberBody, returns="Member",
    ),
    Managed(
        "PATCH", "/v1/members/{id}", "members:write", change_role, "Members", "Change a member's role",
        "It holds from the next request on. Only owners change owners; the last one stays.",
        body=RoleBody, returns="Member",
    ),
    Managed(
        "DELETE", "/v1/members/{id}", "members:write", remove_member, "Members", "Remove a member",
        "Every key of theirs is revoked.", query=AccountQuery, returns="Deleted",
    ),
    Managed(
        "GET", "/v1/accounts", "accounts:read", list_accounts, "Accounts", "List the accounts",
        "Oldest first.", query=AccountsQuery, returns="Account", is_page=True,
    ),
    Managed(
        "POST", "/v1/accounts", "accounts:write", create_account, "Accounts", "Make an account",
        body=AccountBody, returns="Account",
    ),
    Managed(
        "GET", "/v1/accounts/{id}", "accounts:read", read_account, "Accounts", "Show an account",
        "By name or id: what it has, owes and holds.", returns="Statement",
    ),
    Managed(
        "PATCH", "/v1/accounts/{id}", "accounts:write", change_terms, "Accounts", "Change its terms",
        "How an account pays; every worker hears of it within a second.", body=TermsBody, returns="Statement",
    ),
    Managed(
        "GET", "/v1/audit", "audit:read", read_trail, "Accounts", "List what was changed",
        "Every change in the account, newest first: who, how, of what, and what it became.",
        query=PageQuery, returns="Deed", is_page=True,
    ),
)  # fmt: skip
