"""The management paths, from outside."""
