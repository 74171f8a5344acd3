"""The errors of the service; only `api/errors.py` turns them into HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class ScorelineError(Exception):
    """The base class of all errors that Scoreline raises on purpose."""


class NotAuthenticated(ScorelineError):
    """The credentials are missing, unknown or invalid."""


class Forbidden(ScorelineError):
    """The role or scope of the API key does not allow the call."""


class ForeignPage(ScorelineError):
    """A browser sent a write for a page of another origin."""


class NotFound(ScorelineError):
    """The requested object does not exist. `details` are further fields of the response."""

    def __init__(self, message: str = "", **details: Any) -> None:
        super().__init__(message)
        self.details = details


class Deleted(NotFound):
    """The requested version of an object was deleted."""


class Invalid(ScorelineError):
    """The input does not match its schema.

    `errors` is FastAPI's list of dicts with the keys type, loc, msg, input and sometimes ctx, in
    that order. `num_more` counts further errors that were found but not kept.
    """

    def __init__(self, errors: Sequence[dict[str, Any]], num_more: int = 0) -> None:
        super().__init__(f"{len(errors) + num_more} errors")
        self.errors = list(errors)
        self.num_more = num_more


class TooMany(ScorelineError):
    """A key or an address has made too many calls; try again after `wait` seconds."""

    def __init__(self, message: str, wait: float) -> None:
        super().__init__(message)
        self.wait = wait


class InvalidParameter(ScorelineError):
    """A parameter matches its schema but cannot be used; the message says why.

    `name` is the parameter, `given` its value, `place` the part of the request that it is in, and
    `within` where in that part.
    """

    within: tuple[str | int, ...] = ()

    def __init__(self, name: str, given: Any, message: str, *, place: str = "query") -> None:
        super().__init__(message)
        self.name = name
        self.given = given
        self.place = place


class CursorExpired(ScorelineError):
    """`changes` cannot continue from this cursor; the message says how to start again."""


class Unsupported(ScorelineError):
    """This kind of store does not support the call; the message says which kind does."""


class Unreadable(ScorelineError):
    """The body cannot be read as text or JSON."""


class Encoded(ScorelineError):
    """The body has a Content-Encoding, such as gzip, which is not supported."""


class TooLarge(ScorelineError):
    """The input is larger than the service or its store allows."""


class TooSlow(ScorelineError):
    """The body arrived too slowly; the same call may succeed later."""


class Conflict(ScorelineError):
    """Another object with the same identity is stored already."""


class TooManyKeys(ScorelineError):
    """The store holds as many API keys as it may; the message says what to do."""


class IdTaken(ScorelineError):
    """Another document has the id that was sent; `field` is its field, `given` the id."""

    def __init__(self, field: str, given: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.given = given


class KeyReused(ScorelineError):
    """The idempotency key was sent before with other content."""


class Busy(ScorelineError):
    """The process is already doing as much as it may; the same call may succeed later."""


class ClientGone(ScorelineError):
    """The client has disconnected, so that nobody would read the response."""


class Repeated(ScorelineError):
    """Scores that were read as the only ones of their kind are not."""


class StoreUnavailable(ScorelineError):
    """The store does not answer in time; the same call may succeed later."""


class StoreBusy(StoreUnavailable):
    """Too many writes are waiting; nothing of this call was stored."""


class BeingDeleted(StoreUnavailable):
    """The evaluation run is being deleted, which a write must wait for; nothing was stored."""


class RunReplaced(StoreUnavailable):
    """An evaluation run was deleted or replaced while it was read; the next call reads anew."""


class StoreFull(StoreUnavailable):
    """The store has no space left; it can still be read."""


class StoreDamaged(StoreUnavailable):
    """The store's data is damaged, and the call returns none of it."""


class StoreRefused(ScorelineError):
    """The store must not be opened: it is not Scoreline's, of a newer version, or damaged."""


class StoreInaccessible(StoreRefused):
    """The user who runs this process may not read or write a file of the store."""
