"""Rate limits: how many calls and tokens a minute may bring, and how many calls may be under way."""
