"""Where a request came from: the other end of its connection, or who a trusted proxy says it came for."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Networks = tuple[IPv4Network | IPv6Network, ...]


def client_address(peer: str, forwarded_for: str | None, trusted: Networks) -> str:
    """The address that a key's own list is held against; empty when it cannot be known.

    `x-forwarded-for` is read from its end, where the nearest proxy wrote, and only as far as proxies in
    `trusted` wrote it: what stands further left is whatever a client cared to send.
    """
    if not trusted or forwarded_for is None or not _is_within(_parsed(peer), trusted):
        return peer
    hops = [hop.strip() for hop in forwarded_for.split(",")]
    for hop in reversed(hops):
        address = _parsed(hop)
        if not _is_within(address, trusted):
            return "" if address is None else str(address)
    return hops[0]


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    """An address as proxies write it; some add a port."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ip_address(text)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def _is_within(address: IPv4Address | IPv6Address | None, networks: Networks) -> bool:
    return address is not None and any(address in network for network in networks)
