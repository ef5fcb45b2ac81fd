"""One row per call: what goes in, and the log that takes it. The log is the ledger: a call's row and the
money it cost are posted in one transaction.
"""

from __future__ import annotations

from modelway.store.ledger import RECORDS_PER_POST_MAX as ROWS_PER_WRITE_MAX
from modelway.store.ledger import Ledger as UsageLog
from modelway.store.usage_rows import MODEL_CHARACTERS_MAX, UsageRow, add

__all__ = ["MODEL_CHARACTERS_MAX", "ROWS_PER_WRITE_MAX", "UsageLog", "UsageRow", "add"]
