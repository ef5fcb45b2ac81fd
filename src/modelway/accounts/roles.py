"""What a member of an account may be. Pure."""

from __future__ import annotations

from typing import Literal, get_args

Role = Literal["owner", "admin", "developer", "viewer"]

ROLES: tuple[Role, ...] = get_args(Role)
