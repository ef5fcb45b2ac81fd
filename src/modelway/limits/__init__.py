"""Rate limits: rows, an in-memory counter and a Valkey counter."""
