"""Who asks too much: calls are limited by API key, failures to authenticate by address."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_network

from flask import request

from app.api.state import state
from app.errors import TooMany
from app.stores.base import ApiKey

FAILURES = (60, 60)
"""So many failures to authenticate, in so many seconds, are told at once."""

IPV6_NETWORK = 64
"""Bits of an IPv6 address that count: the rest is free for its owner to choose (RFC 6177)."""


def limit(key: ApiKey) -> None:
    """Count one call of `key`, whatever becomes of it. Raises TooMany when it has had its share."""
    calls = state().calls
    if calls is None:
        return
    wait = calls.take(key.key_id)
    if wait:
        raise TooMany("Too many requests with this API key", wait)


def limit_failures() -> None:
    """Count one failure to authenticate of the caller's address. Raises TooMany.

    The key was checked before: a valid one is answered, whatever else comes from its address.
    """
    wait = state().failures.take(network(request.remote_addr or ""))
    if wait:
        raise TooMany("Too many failures to authenticate from this address", wait)


def network(address: str) -> str:
    """What counts as one caller: an IPv4 address, or the /64 that an IPv6 address is in."""
    if ":" not in address:
        return address
    try:
        ipv6 = IPv6Address(address.partition("%")[0])
    except ValueError:
        return address[:64]  # A proxy may say anything.
    mapped = ipv6.ipv4_mapped
    return str(mapped or ip_network((ipv6, IPV6_NETWORK), strict=False))
