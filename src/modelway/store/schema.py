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
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
)

HEAD = "0002"  # the newest migration; zero-padded numbers, so that older compares less

# Both databases name constraints the same, so that a later migration can drop one by name.
metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# Who pays.
accounts = Table(
    "accounts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("created_at_ms", BigInteger, nullable=False),
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
    Column("outcome", Text, nullable=False),  # ok | client_gone | a kind of conversation.errors
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
