"""How a setting is read from its text: functions that raise ValueError and say what they take."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable

AUTO = "auto"
_SECONDS = {"second": 1, "minute": 60, "hour": 3600}


def whole_number(least: int, most: int) -> Callable[[str], int]:
    """Take a whole number in decimal, in these bounds."""

    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit() and least <= int(text[:20]) <= most):
            raise ValueError(f"must be a whole number from {least} to {most}")
        return int(text)

    return parse


def one_of(*choices: str) -> Callable[[str], str]:
    """Take one of some words, in any case."""

    def parse(text: str) -> str:
        if text.lower() not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return text.lower()

    return parse


def switch(text: str) -> bool:
    """Take `off` or `on`."""
    return one_of("off", "on")(text) == "on"


def matching(pattern: str, wanted: str) -> Callable[[str], str]:
    """Take what the whole of a pattern matches, and else say what is wanted."""

    def parse(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"must be {wanted}")
        return text

    return parse


def host(text: str) -> str:
    """Take a host name or an address, of IPv6 with its brackets or without."""
    wanted = "a host name or an address"
    if ":" not in text:
        return matching(r"[A-Za-z0-9.-]+", wanted)(text)
    try:
        return str(ipaddress.IPv6Address(text.strip("[]")))
    except ValueError:
        raise ValueError(f"must be {wanted}") from None


def rate(text: str) -> tuple[int, int] | str | None:
    """How many in how many seconds, None for off, or AUTO."""
    if text == AUTO:
        return AUTO
    if text == "off":
        return None
    amount, _, unit = text.partition("/")
    if unit not in _SECONDS or not re.fullmatch("[1-9][0-9]{0,6}", amount):
        raise ValueError("must be auto, off, or a rate such as 600/second, /minute or /hour")
    return int(amount), _SECONDS[unit]


def origins(text: str) -> frozenset[str]:
    """Origins as a browser writes them: in lower case, without the scheme's own port."""
    origins = [origin.strip() for origin in text.split(",") if origin.strip()]
    for origin in origins:
        if not re.fullmatch(
            r"(http(?!.*:80$)|https(?!.*:443$))://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:[0-9]+)?", origin
        ):
            raise ValueError(
                "must be origins as a browser sends them, such as https://app.example.com, "
                "separated by commas"
            )
    return frozenset(origins)


def is_loopback(host: str) -> bool:
    """Whether only this machine can connect to what listens on `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
