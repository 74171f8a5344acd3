"""Schemas of API keys. None has the hash of a key; only KeyCreateRes has the key itself."""

from __future__ import annotations

from marshmallow import RAISE, fields

from app.schemas.fields import (
    UNKNOWN,
    Choice,
    Count,
    FutureDatetime,
    List,
    Query,
    Shape,
    Text,
    UtcText,
)
from app.schemas.query_fields import Flag, WholeNumber

ROLES = ("create", "read", "write", "admin")
SCOPE = r"^(\*|([^/*][^/]*|\*[^/]+)/[^/]+)$"
"""The pattern of a scope: entity/project, entity/* or *."""

MAX_SCOPE_CHARACTERS = 8_192
MAX_NAME_CHARACTERS = 255
_CONTROLS = r"\x00-\x1f\x7f-\x9f\u2028\u2029"
NAME = rf"^[^{_CONTROLS}]*[^\s{_CONTROLS}][^{_CONTROLS}]*$"
"""The pattern of a name: not blank, without line breaks and other control characters."""

_NAME = {"pattern": NAME, "maxLength": MAX_NAME_CHARACTERS}


class KeyCreateBody(Shape):
    """The body that creates an API key.

    It rejects unknown fields, because one of them may be a misspelt `expires_at`.
    """

    class Meta(Shape.Meta):
        """marshmallow's options."""

        unknown = RAISE

    error_messages = {"unknown": UNKNOWN}

    name = Text("What the key is for; shown in lists.", required=True, metadata=_NAME)
    role = Choice("What the key may do.", ROLES, required=True)
    scope = Text(
        "Where the key is valid: entity/project, entity/*, or * for all.",
        required=True,
        metadata={"pattern": SCOPE, "maxLength": MAX_SCOPE_CHARACTERS},
    )
    owner = Text(
        "The wb_user_id of the key's scores. Default: the name.",
        load_default=None,
        allow_none=True,
        metadata={"pattern": f"^$|{NAME}", "maxLength": MAX_NAME_CHARACTERS},
    )
    expires_at = FutureDatetime(
        "When the key expires, with a time zone. Default: as the caller's key.",
        load_default=None,
        allow_none=True,
    )


class KeyReadRes(Shape):
    """An API key, without the key itself."""

    key_id = Text("The id of the key, in calls and logs.", required=True)
    name = Text("What the key is for.", required=True)
    role = Text("What the key may do.", required=True, metadata={"enum": list(ROLES)})
    scope = Text("Where the key is valid.", required=True)
    owner = Text("The wb_user_id of the key's scores.", required=True)
    created_at = UtcText("When the key was created, in UTC.", required=True)
    created_by = Text(
        "The key_id of the key that created it; `cli` for the command line, "
        "`start` for the first start, `admin` for the key of SCORELINE_ADMIN_KEY, null if an "
        "older Scoreline created it.",
        required=True,
        allow_none=True,
    )
    expires_at = UtcText(
        "When the key expires, in UTC; null if it does not.", required=True, allow_none=True
    )
    last_used_at = UtcText(
        "When the key was last used, in UTC, to about a minute; null if never.",
        required=True,
        allow_none=True,
    )
    revoked_at = UtcText(
        "When the key was revoked, in UTC; null if it is not.", required=True, allow_none=True
    )


class KeyCreateRes(KeyReadRes):
    """A new API key, with the key itself."""

    key = Text("The key, which cannot be read again.", required=True)


class KeyListQuery(Query):
    """The query of a page of API keys."""

    limit = WholeNumber("The most keys to return.", least=1, most=1_000, load_default=1_000)
    after = Text("Only keys after this key_id.", load_default="")


class KeyRevokeQuery(Query):
    """The query that revokes an API key."""

    cascade = Flag(
        "Also revoke the keys that were created with it, those created with "
        "these, and so on; the key itself may already be revoked.",
        load_default=False,
    )


class KeyRevokeRes(KeyReadRes):
    """A revoked key, and how many of the keys that were created with it were revoked or not."""

    also_revoked = Count("How many keys created with it this call revoked too.", required=True)
    left_in_use = Count("How many keys created with it are still in use.", required=True)


class KeyListRes(Shape):
    """A page of API keys."""

    keys = List("The keys, oldest first.", fields.Nested(KeyReadRes), required=True)
