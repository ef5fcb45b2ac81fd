"""Every table, and why its columns are what they are. The only place where tables are declared.

Rules: ids are our own sortable text (`accounts/ids.py`), times are integers of milliseconds since 1970
(no database's opinion on time zones enters), money is integer nano-USD, nothing is ever deleted that
money or a key refers to. A change here is a new file in `migrations/versions` and a new `HEAD`; a test
compares both on both databases.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

HEAD = "0010"  # the newest migration; zero-padded numbers, so that older compares less

# Both databases name constraints the same, so that a later migration can drop one by name.
metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# Who pays. The three sums are what its entries and holds add up to, kept beside them so that one guarded
# UPDATE can admit a call: credit - posted - held, plus the limit of a postpaid account, stays at 0 or more.
accounts = Table(
    "accounts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("billing", Text, nullable=False, server_default="postpaid"),  # prepaid | postpaid
    Column("limit_nano_usd", BigInteger),  # null: none, which only a postpaid account can have
    Column("credit_nano_usd", BigInteger, nullable=False, server_default="0"),  # put in
    Column("posted_nano_usd", BigInteger, nullable=False, server_default="0"),  # charged
    Column("held_nano_usd", BigInteger, nullable=False, server_default="0"),  # set aside for calls in flight
    Column("rate_limits", JSON(none_as_null=True)),  # accounts.rates, by name; null limits nothing
)

# The people in an account.
members = Table(
    "members",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text, ForeignKey("accounts.id"), nullable=False, index=True),
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False),  # accounts.roles.Role
    Column("created_at_ms", BigInteger, nullable=False),
    Column("removed_at_ms", BigInteger),  # keys and entries still name them
)

# What a program holds. The text of a key is nowhere: `digest` is its HMAC under the installation secret.
keys = Table(
    "keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text, ForeignKey("accounts.id"), nullable=False, index=True),
    Column("member_id", Text, ForeignKey("members.id")),
    Column("name", Text, nullable=False),
    Column("digest", LargeBinary(32), nullable=False, unique=True),
    Column("masked", Text, nullable=False),
    Column("models", JSON(none_as_null=True)),  # ids and patterns; null allows every model
    Column("limit_nano_usd", BigInteger),
    Column("resets", Text, nullable=False),  # accounts.keys.Resets
    Column("created_at_ms", BigInteger, nullable=False),
    Column("expires_at_ms", BigInteger),
    Column("revoked_at_ms", BigInteger),
    # Written at most once a minute: good enough to find dead keys, cheap enough for live ones.
    Column("last_used_at_ms", BigInteger),
    Column("kind", Text, nullable=False, server_default="api"),  # api | management
    Column("endpoints", JSON(none_as_null=True)),  # paths or patterns; null allows every one
    Column("addresses", JSON(none_as_null=True)),  # networks it may be used from; null allows every one
    Column("replaces_id", Text),  # the key that this one was made to take over from
    Column("first_id", Text),  # and the first that one did, link by link; null: it took over from none
    Column("rate_limits", JSON(none_as_null=True)),  # accounts.rates, by name; null: the defaults
    # The value of changes('keys') when this row last changed: what a worker has to forget.
    Column("change", BigInteger, nullable=False, index=True),
)

# A counter per subject. Raised inside the transaction of every change, its row lock puts the changes in
# one order, so a worker that has seen n has seen everything up to n.
changes = Table(
    "changes",
    metadata,
    Column("subject", Text, primary_key=True),
    Column("number", BigInteger, nullable=False),
)

# One row per call, failed ones too; never edited. No foreign keys: the row of a call is written on the
# hot path, from values that the key carried, and must not fail because of another table.
usage = Table(
    "usage",
    metadata,
    Column("request_id", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("started_at_ms", BigInteger, nullable=False),
    Column("protocol", Text, nullable=False),  # the client's: chat | responses | messages
    Column("model_asked", Text, nullable=False),
    Column("model_answered", Text),  # null when no upstream was reached
    Column("provider", Text),
    Column("upstream_protocol", Text),
    Column("status", Integer, nullable=False),  # the HTTP status the client was sent
    Column("outcome", Text, nullable=False),  # ok | client_gone | replayed | a kind of conversation.errors
    Column("error_code", Text),
    Column("stream", Boolean, nullable=False),
    # Disjoint, except that reasoning is part of output. Null: the upstream did not say.
    Column("input_tokens", BigInteger, nullable=False),
    Column("cache_read_tokens", BigInteger),
    Column("cache_write_5m_tokens", BigInteger),
    Column("cache_write_1h_tokens", BigInteger),
    Column("output_tokens", BigInteger, nullable=False),
    Column("reasoning_tokens", BigInteger),
    Column("estimated", Boolean, nullable=False),  # counted here, because the upstream did not report
    Column("cost_nano_usd", BigInteger),  # null: no price is known, which is not the same as free
    Column("first_token_ms", Integer),
    Column("duration_ms", Integer, nullable=False),
    Column("member_id", Text),
    Column("price_version", Text),  # of `prices`; null: no price is known
    Column("audio_input_tokens", BigInteger),  # among the input tokens
    Column("audio_output_tokens", BigInteger),  # among the output tokens
    Column("web_searches", BigInteger),
    Column("model", Text),  # the configured model's id; null: what was asked is its id, or there is none
    # Every report is one account over one period.
    Index(None, "account_id", "started_at_ms"),
)

# What the installation remembers of itself: who owns it, a digest of its secret.
settings = Table(
    "settings",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

# Responses that may be asked for again or continued, thirty days. Deleted for good when their owner says
# so: neither money nor a key refers to them. The id is the one its client was given, which for an answer
# that passed through is the provider's; so it is unique in an account only. Bodies are JSON as bytes,
# because nothing is looked up in them and PostgreSQL's text takes no NUL.
responses = Table(
    "responses",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("key_id", Text, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("expires_at_ms", BigInteger, nullable=False, index=True),
    # queued | in_progress | completed | incomplete | failed | cancelled; a run that finds `cancelled` stops.
    Column("status", Text, nullable=False),
    Column("previous_id", Text),  # in the same account; the input of that one is not repeated here
    Column("input", LargeBinary, nullable=False),  # a list of items
    Column("response", LargeBinary, nullable=False),  # the response object
    Column("lease_until_ms", BigInteger),  # of a background run: past it, its worker is dead
)

# Where an item is found that a later request names by its id alone.
response_items = Table(
    "response_items",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("response_id", Text, nullable=False),
    Index(None, "account_id", "response_id"),
)

# The ledger: each row moves an amount from one side (`debit`) to another (`credit`); a side is an account's
# id or one of `cash`, `revenue`, `overrun`. Nothing is ever changed here: triggers refuse it.
# Kept in the order of statements (SQLite: the table is its own index, because every call writes here).
entries = Table(
    "entries",
    metadata,
    Column("account_id", Text, primary_key=True),  # whose statement it is on
    Column("id", Text, primary_key=True),
    # top_up | voucher | refund | withdrawal | charge | estimate | void | overrun | correction | return
    Column("kind", Text, nullable=False),
    Column("debit", Text, nullable=False),
    Column("credit", Text, nullable=False),
    Column("amount_nano_usd", BigInteger, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("attempt_id", Text),  # the upstream attempt this settles; its call's id, and `.n` for the n-th
    Column("reference", Text),  # the request id, the voucher's mask, the entry that is refunded
    Column("key_id", Text),
    Column("member_id", Text),
    Column("model", Text),
    Column("price_version", Text),  # null on a charge: unpriced
    Column("note", Text),
    UniqueConstraint("attempt_id", "kind"),
    CheckConstraint("amount_nano_usd >= 0", name="ck_entries_amount"),
    # From a charge to what of it was given back. Charges, which are nearly all lines, are not in it: its
    # migration says `where kind = 'refund'`. Said here, that would load PostgreSQL's dialect at each start.
    Index("ix_entries_refunds", "reference"),
    sqlite_with_rowid=False,
)

# A call in flight and the money set aside for it. Its end deletes the row and writes an entry, in one
# transaction. What a dead worker leaves here is resolved from these columns alone.
holds = Table(
    "holds",
    metadata,
    Column("attempt_id", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("member_id", Text),
    Column("worker_id", Text, nullable=False),
    Column("amount_nano_usd", BigInteger, nullable=False),
    Column("caps", Text, nullable=False),  # `cap_id@window_start_ms`, space between; the windows held in
    Column("started_at_ms", BigInteger, nullable=False),
    Column("protocol", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("stream", Boolean, nullable=False),
    Column("price_version", Text),
    Column("state", Text, nullable=False),  # sent | streaming (then the next three are a checkpoint)
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("cost_nano_usd", BigInteger, nullable=False),
    CheckConstraint("amount_nano_usd >= 0", name="ck_holds_amount"),
    sqlite_with_rowid=False,
)

# Processes that hold: one row per start. Past its lease (the database's clock) a worker is dead.
workers = Table(
    "workers",
    metadata,
    Column("id", Text, primary_key=True),
    Column("started_at_ms", BigInteger, nullable=False),
    Column("lease_until_ms", BigInteger, nullable=False),
)

# Every price that ever was charged, by the name that entries carry.
prices = Table(
    "prices",
    metadata,
    Column("version", Text, primary_key=True),
    Column("price", Text, nullable=False),  # JSON, nano-USD per million tokens
    Column("first_used_at_ms", BigInteger, nullable=False),
)

# Credit to be handed out as text. Like keys, only an HMAC of the text is kept.
vouchers = Table(
    "vouchers",
    metadata,
    Column("digest", LargeBinary(32), primary_key=True),
    Column("masked", Text, nullable=False),
    Column("amount_nano_usd", BigInteger, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("expires_at_ms", BigInteger),
    Column("redeemed_at_ms", BigInteger),
    Column("redeemed_by", Text),  # an account's id
)

# What may be spent by an account, a member, a key or on a model, per window.
budgets = Table(
    "budgets",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text, ForeignKey("accounts.id"), nullable=False, index=True),
    Column("scope", Text, nullable=False),  # account | member | key | model
    Column("subject", Text, nullable=False),  # the id of what it is for
    Column("resets", Text, nullable=False),  # accounts.keys.Resets
    Column("limit_nano_usd", BigInteger, nullable=False),
    Column("alerts", JSON, nullable=False),  # percentages at which somebody is told
    Column("created_at_ms", BigInteger, nullable=False),
    Column("removed_at_ms", BigInteger),
)

# What was spent and is held against a budget (`cap_id` is its id) or a key's own limit (the id of the first
# key of its chain), one row per window: a new window is a new row, so nothing is ever set back and two
# resetters cannot lose what was spent.
cap_windows = Table(
    "cap_windows",
    metadata,
    Column("cap_id", Text, primary_key=True),
    Column("window_start_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("posted_nano_usd", BigInteger, nullable=False),
    Column("held_nano_usd", BigInteger, nullable=False),
)

# Thresholds that were crossed, each once per window, and whether somebody was told.
alerts = Table(
    "alerts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("budget_id", Text, nullable=False),
    Column("window_start_ms", BigInteger, nullable=False),
    Column("percent", Integer, nullable=False),
    Column("spent_nano_usd", BigInteger, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("next_try_at_ms", BigInteger, index=True),  # null: delivered, or given up
    Column("delivered_at_ms", BigInteger),
    UniqueConstraint("budget_id", "window_start_ms", "percent"),
)

# Calls that carried an Idempotency-Key. `status` is null while the first of them runs.
idempotency = Table(
    "idempotency",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("endpoint", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("fingerprint", LargeBinary(32), nullable=False),  # SHA-256 of method, path and body
    Column("request_id", Text, nullable=False, index=True),
    Column("created_at_ms", BigInteger, nullable=False, index=True),
    Column("status", Integer),
    Column("headers", LargeBinary),
    Column("body", LargeBinary),  # null with a status: the answer was too large to keep
)

# What a model thought before it called a tool, for Chat clients that drop it: by the first call's id.
reasoning = Table(
    "reasoning",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("call_id", Text, primary_key=True),  # as the model gave it
    Column("expires_at_ms", BigInteger, nullable=False, index=True),
    Column("layout", LargeBinary, nullable=False),  # JSON: sealed reasoning, and where text and calls stood
)

# Who changed what, line by line; nothing is ever changed here either: triggers refuse it.
trail = Table(
    "trail",
    metadata,
    Column("account_id", Text, primary_key=True),  # whose thing it was
    Column("id", Text, primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("via", Text, nullable=False),  # api | cli | page | start
    Column("key_id", Text),  # the management key that asked
    Column("member_id", Text),
    Column("request_id", Text),
    Column("action", Text, nullable=False),  # key.create, budget.remove, …
    Column("subject", Text, nullable=False),  # the id of what was changed
    Column("details", JSON(none_as_null=True), nullable=False),  # what it became; never a secret
)

# Cards that were written on the pages or through the API, over and beside those that come with us. Deleted
# for good when somebody says so: what a call cost is in the ledger, not here.
cards = Table(
    "cards",
    metadata,
    Column("id", Text, primary_key=True),  # the card's own, as written
    Column("text", Text, nullable=False),  # YAML, as it was typed
    Column("changed_at_ms", BigInteger, nullable=False),
    Column("changed_by", Text),  # a key's id; null: the command line
    Column("change", BigInteger, nullable=False),  # the value of changes('cards') when it last changed
)
