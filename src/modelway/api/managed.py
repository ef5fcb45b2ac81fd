"""Every management path, subject by subject: the routes, the reference and the tests read this list."""

from __future__ import annotations

from modelway.api import keys
from modelway.api.management import Managed

ROWS: tuple[Managed, ...] = (*keys.ROWS,)
