"""The options by which keys and accounts get rate limits."""

from __future__ import annotations

from typing import Annotated

import typer

RequestsOption = Annotated[int | None, typer.Option(help="calls in a minute; 0 = no limit")]
InputTokensOption = Annotated[
    int | None, typer.Option(help="tokens read in a minute, those from a cache are free; 0 = no limit")
]
OutputTokensOption = Annotated[int | None, typer.Option(help="tokens written in a minute; 0 = no limit")]
ConcurrencyOption = Annotated[int | None, typer.Option(help="calls under way at once; 0 = no limit")]
