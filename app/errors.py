"""What can go wrong, in the service's words; `api/errors.py` alone turns it into HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class ScorelineError(Exception):
    """The root of every error that Scoreline raises on purpose."""


class NotAuthenticated(ScorelineError):
    """No credentials, or none that are known and valid."""


class Forbidden(ScorelineError):
    """Known credentials whose role or scope does not allow the call."""


class ForeignPage(ScorelineError):
    """A write that a browser sends for a page of another origin."""


class NotFound(ScorelineError):
    """What was asked for is not here."""


class Invalid(ScorelineError):
    """Input that the schema refuses.

    `errors` is FastAPI's list: dicts with the keys type, loc, msg, input and sometimes ctx, in
    that order. `num_more` counts errors that were found and not kept.
    """

    def __init__(self, errors: Sequence[dict[str, Any]], num_more: int = 0) -> None:
        super().__init__(f"{len(errors) + num_more} errors")
        self.errors = list(errors)
        self.num_more = num_more


class TooMany(ScorelineError):
    """More calls than one key or one address may make; the same call may succeed after `wait`."""

    def __init__(self, message: str, wait: float) -> None:
        super().__init__(message)
        self.wait = wait


class InvalidKeySetting(ScorelineError):
    """A name, owner, role, scope or end that an API key cannot have; the message says what it can.

    `field` is what is wrong, `given` its value.
    """

    def __init__(self, field: str, given: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.given = given


class InvalidParameter(ScorelineError):
    """A parameter that has the right shape and still cannot be followed; the message says why.

    `name` is the parameter, `given` its value.
    """

    def __init__(self, name: str, given: Any, message: str) -> None:
        super().__init__(message)
        self.name = name
        self.given = given


class CursorExpired(ScorelineError):
    """A cursor that `changes` cannot go on from; the message says how to begin anew."""


class Unsupported(ScorelineError):
    """A question that this kind of store cannot answer; the message says which kind can."""


class Unreadable(ScorelineError):
    """A body that cannot be read as text or JSON at all."""


class Encoded(ScorelineError):
    """A body with a Content-Encoding, such as gzip, which is not decoded."""


class TooLarge(ScorelineError):
    """Input over a size that the service or its store can keep."""


class TooSlow(ScorelineError):
    """A body that comes too slowly to be waited for; the same call may succeed later."""


class Conflict(ScorelineError):
    """Something of that identity is stored already."""


class TooManyKeys(ScorelineError):
    """One more API key than a store may hold; the message says how to make room."""


class KeyReused(ScorelineError):
    """An idempotency key that was sent before with other content."""


class Busy(ScorelineError):
    """More is under way than the process may hold; the same call may succeed later."""


class ClientGone(ScorelineError):
    """The client has disconnected: nobody reads the answer that is being worked on."""


class StoreUnavailable(ScorelineError):
    """The store does not answer, or not in time; the same call may succeed later."""


class StoreBusy(StoreUnavailable):
    """The store cannot keep up with what is sent; what was refused is not stored."""


class StoreFull(StoreUnavailable):
    """The store has no space for more; what it holds is still read."""


class StoreDamaged(StoreUnavailable):
    """What the store holds is damaged; nothing is answered from it."""


class StoreRefused(ScorelineError):
    """A store that must not be opened: not ours, newer than this program, or damaged."""
