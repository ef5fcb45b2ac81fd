"""Anthropic Messages: the protocol object and nothing else leaves this package."""

from modelway.protocols.anthropic_messages.protocol import MESSAGES

__all__ = ["MESSAGES"]
