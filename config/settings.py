"""All settings in one table, with names, defaults and meanings.

A test keeps `docs/settings.md` equal to the table. Only the entry points (`create_app`, the command
line, gunicorn's configuration) read settings.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

AUTO = "auto"
_SECONDS = {"second": 1, "minute": 60, "hour": 3600}
ELSEWHERE = (1000, 1)
"""The default rate limit if other machines can connect: calls, in seconds."""


class SettingsError(Exception):
    """A setting is not valid; the message names it and says what it takes."""


@dataclass(frozen=True)
class Setting:
    """One row of the table: an environment variable and the attribute for its value."""

    name: str
    attribute: str
    default: str
    parse: Callable[[str], Any]
    meaning: str


@dataclass(frozen=True)
class Settings:
    """The validated settings of a process."""

    store: str
    host: str
    port: int
    workers: int
    threads: int
    admin_key: str
    admin_key_file: str
    max_body_bytes: int
    max_sdk_body_bytes: int
    default_entity: str
    url_prefix: str
    rate_limit: tuple[int, int] | None
    rate_limit_store: str
    trusted_proxies: int
    cors_origins: frozenset[str]
    log_level: str
    metrics_public: bool
    prices: str


def whole_number(least: int, most: int) -> Callable[[str], int]:
    """Return a parser of whole numbers within these bounds."""

    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit() and least <= int(text[:20]) <= most):
            raise ValueError(f"must be a whole number from {least} to {most}")
        return int(text)

    return parse


def one_of(*choices: str) -> Callable[[str], str]:
    """Return a parser of one of these words, in any case."""

    def parse(text: str) -> str:
        if text.lower() not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return text.lower()

    return parse


def switch(text: str) -> bool:
    """Parse `off` or `on`."""
    return one_of("off", "on")(text) == "on"


def matching(pattern: str, wanted: str) -> Callable[[str], str]:
    """Return a parser of texts that match the whole pattern; `wanted` describes them in errors."""

    def parse(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"must be {wanted}")
        return text

    return parse


def secret(text: str) -> str:
    """Parse a key, ignoring white space and a byte order mark around it."""
    key = text.strip("\ufeff \t\r\n")
    if text and not re.fullmatch(r"[A-Za-z0-9._~+/-]+=*", key):
        raise ValueError("must have only letters, digits and ._~+/-, and = only at its end")
    return key


def host(text: str) -> str:
    """Parse a host name or an address; an IPv6 address may be in brackets."""
    wanted = "a host name or an address"
    if ":" not in text:
        return matching(r"[A-Za-z0-9.-]+", wanted)(text)
    try:
        return str(ipaddress.IPv6Address(text.strip("[]")))
    except ValueError:
        raise ValueError(f"must be {wanted}") from None


def rate(text: str) -> tuple[int, int] | str | None:
    """Parse a rate into calls and seconds, `off` into None, and `auto` into AUTO."""
    if text == AUTO:
        return AUTO
    if text == "off":
        return None
    amount, _, unit = text.partition("/")
    if unit not in _SECONDS or not re.fullmatch("[1-9][0-9]{0,6}", amount):
        raise ValueError("must be auto, off, or a rate such as 600/second, /minute or /hour")
    return int(amount), _SECONDS[unit]


def origins(text: str) -> frozenset[str]:
    """Parse origins as browsers send them: in lower case, without the default port."""
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
    """Return whether only this machine can connect to a service that listens on `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


SETTINGS = (
    Setting(
        "SCORELINE_STORE",
        "store",
        "sqlite:///var/scoreline.db",
        matching(
            r"sqlite:///.*[^/]|mongodb(\+srv)?://.+",
            "sqlite:///PATH, mongodb://HOST/DATABASE or mongodb+srv://HOST/DATABASE",
        ),
        "Where scores are stored: `sqlite:///relative/path`, `sqlite:////absolute/path`, "
        "`mongodb://…/database` or `mongodb+srv://…/database`.",
    ),
    Setting(
        "SCORELINE_HOST",
        "host",
        "127.0.0.1",
        host,
        "The address to listen on. If `PORT` is set, as hosting platforms do that use the "
        "Procfile, the default is `0.0.0.0`; `scoreline serve` and `make run` still listen on "
        "loopback.",
    ),
    Setting(
        "PORT",
        "port",
        "8000",
        whole_number(1, 65535),
        "The TCP port to listen on.",
    ),
    Setting(
        "WEB_CONCURRENCY",
        "workers",
        "2",
        whole_number(1, 256),
        "The number of worker processes, which share the store.",
    ),
    Setting(
        "SCORELINE_THREADS",
        "threads",
        "16",
        whole_number(1, 512),
        "The number of threads in each worker process: how many requests it handles at a time.",
    ),
    Setting(
        "SCORELINE_ADMIN_KEY",
        "admin_key",
        "",
        secret,
        "The administrator's key. If it is set, no key is created and no file written. "
        "Use at least 40 random letters and digits: Weave's clients require 40 characters after "
        "a key's last `-`.",
    ),
    Setting(
        "SCORELINE_ADMIN_KEY_FILE",
        "admin_key_file",
        "var/admin.key",
        matching(r"[^\0]+", "a path"),
        "The file to which the first start writes the administrator's key (mode 0600).",
    ),
    Setting(
        "SCORELINE_MAX_BODY_BYTES",
        "max_body_bytes",
        "8388608",
        whole_number(1024, 1073741824),
        "The largest request body in bytes; a larger one is rejected with 413 before it is read "
        "into memory.",
    ),
    Setting(
        "SCORELINE_MAX_SDK_BODY_BYTES",
        "max_sdk_body_bytes",
        "33554432",
        whole_number(1024, 1073741824),
        "The largest request body in bytes on the routes of Weave's SDK, which sends up to 31 MiB.",
    ),
    Setting(
        "SCORELINE_DEFAULT_ENTITY",
        "default_entity",
        "default",
        matching(r"[^/]{1,1000}", "a name without /"),
        "The entity of a Weave program that names only its project, if the scope of its key is "
        "`*`.",
    ),
    Setting(
        "SCORELINE_URL_PREFIX",
        "url_prefix",
        "",
        matching(r"(/[A-Za-z0-9._~-]+)*", "empty, or a path such as /traces without a last /"),
        "A path prefix of every route, such as `/traces` in self-managed Weave. "
        "The health routes, `/version` and `/metrics` are also served without it. "
        "Weave's SDK finds its routes below the prefix, also with `/traces` after it.",
    ),
    Setting(
        "SCORELINE_RATE_LIMIT",
        "rate_limit",
        AUTO,
        rate,
        "How many calls each API key may make: `off`, or a rate such as `600/second`, `/minute` "
        "or `/hour`. `auto` is `off` on loopback and otherwise `1000/second`. Each worker process "
        "counts separately, unless `SCORELINE_RATE_LIMIT_STORE` is set.",
    ),
    Setting(
        "SCORELINE_RATE_LIMIT_STORE",
        "rate_limit_store",
        "",
        matching(
            "((rediss?|memcached)://.+)?",
            "redis://HOST, rediss://HOST or memcached://HOST",
        ),
        "The server on which all worker processes, even on several machines, count calls together: "
        "`redis://…`, `rediss://…` or `memcached://…`.",
    ),
    Setting(
        "SCORELINE_TRUSTED_PROXIES",
        "trusted_proxies",
        "0",
        whole_number(0, 10),
        "How many proxies are in front of the service and add to `X-Forwarded-For`. The address of "
        "a client is then read from that header, and the host that a page's `Origin` must match "
        "from `X-Forwarded-Host`. With 0, the address of the connection and `Host` are used.",
    ),
    Setting(
        "SCORELINE_CORS_ORIGINS",
        "cors_origins",
        "",
        origins,
        "The origins, separated by commas, whose pages may call the service from a browser, such "
        "as `https://app.example.com`. Writes from other pages are rejected.",
    ),
    Setting(
        "SCORELINE_LOG_LEVEL",
        "log_level",
        "info",
        one_of("debug", "info", "warning", "error"),
        "The lowest level that is logged; `info` logs one line per request.",
    ),
    Setting(
        "SCORELINE_METRICS_PUBLIC",
        "metrics_public",
        "off",
        switch,
        "With `on`, `/metrics` needs no key. Otherwise it needs one that may read every project.",
    ),
    Setting(
        "SCORELINE_PRICES",
        "prices",
        "",
        str,
        "A TOML file with what the tokens of models cost ([metrics.md](metrics.md)), read at the "
        "start.",
    ),
)


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Read all settings from `environ`; an unset or empty variable means the default.

    Raises SettingsError for a value that is not valid, and for an unknown variable that begins with
    SCORELINE_, because that is probably a typo.
    """
    _refuse_unknown(environ)
    values: dict[str, Any] = {}
    for setting in SETTINGS:
        text = environ.get(setting.name) or setting.default
        try:
            values[setting.attribute] = setting.parse(text)
        except ValueError as error:
            shown = "" if setting.attribute == "admin_key" else f", not {_shown(text)!r}"
            raise SettingsError(f"{setting.name} {error}{shown}") from None
    if environ.get("PORT") and not environ.get("SCORELINE_HOST"):
        # As in gunicorn: a hosting platform that sets PORT connects from outside.
        values["host"] = "0.0.0.0"  # noqa: S104
    if values["rate_limit"] == AUTO:
        values["rate_limit"] = None if is_loopback(values["host"]) else ELSEWHERE
    return Settings(**values)


def _shown(text: str) -> str:
    """Return the value for an error message, cut and without the password of a URL."""
    return re.sub(r"//.*@", "//***@", text)[:100]


def _refuse_unknown(environ: Mapping[str, str]) -> None:
    known = {setting.name for setting in SETTINGS}
    # Variables of the tests and of the command line have the same prefix.
    own = ("SCORELINE_TEST_", "SCORELINE_KEY", "SCORELINE_URL")
    for name in environ:
        if name.startswith("SCORELINE_") and name not in known and not name.startswith(own):
            raise SettingsError(f"{name} is not a setting; docs/settings.md lists all settings")
