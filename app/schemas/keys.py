"""The shapes of API keys over HTTP; neither a hash nor, but once, the key itself is in them."""

from __future__ import annotations

from marshmallow import RAISE, fields

from app.schemas.fields import UNKNOWN, Choice, FutureDatetime, Query, Shape, Text, UtcText
from app.schemas.query_fields import Flag, WholeNumber

ROLES = ("create", "read", "write", "admin")
SCOPE = r"^(\*|([^/*][^/]*|\*[^/]+)/[^/]+)$"
"""entity/project, entity/* or *; the service holds every key to it."""

MAX_SCOPE_CHARACTERS = 8_192
MAX_NAME_CHARACTERS = 255
_CONTROLS = r"\x00-\x1f\x7f-\x9f\u2028\u2029"
NAME = rf"^[^{_CONTROLS}]*[^\s{_CONTROLS}][^{_CONTROLS}]*$"
"""A line of text that is not blank: no line breaks or other control characters."""

_NAME = {"pattern": NAME, "maxLength": MAX_NAME_CHARACTERS}


class KeyCreateBody(Shape):
    """The body that creates an API key, which rejects unknown fields: one may be a misspelt end."""

    class Meta(Shape.Meta):
        """marshmallow's options."""

        unknown = RAISE

    error_messages = {"unknown": UNKNOWN}

    name = Text(
        required=True, metadata={"description": "What the key is for; shown in lists.", **_NAME}
    )
    role = Choice(ROLES, required=True, metadata={"description": "What it may do."})
    scope = Text(
        required=True,
        metadata={
            "description": "Where: entity/project, entity/* or * for all.",
            "pattern": SCOPE,
            "maxLength": MAX_SCOPE_CHARACTERS,
        },
    )
    owner = Text(
        load_default=None,
        allow_none=True,
        metadata={
            "description": "Who its scores are attributed to (wb_user_id); or the name.",
            "pattern": f"^$|{NAME}",
            "maxLength": MAX_NAME_CHARACTERS,
        },
    )
    expires_at = FutureDatetime(
        load_default=None,
        allow_none=True,
        metadata={
            "description": "When it ends, with a time zone; without it, when the caller's key does."
        },
    )


class KeyReadRes(Shape):
    """One API key."""

    key_id = Text(required=True, metadata={"description": "What it is called in logs and calls."})
    name = Text(required=True, metadata={"description": "What it is for."})
    role = Text(required=True, metadata={"description": "What it may do.", "enum": list(ROLES)})
    scope = Text(required=True, metadata={"description": "Where it may do that."})
    owner = Text(required=True, metadata={"description": "Who its scores are attributed to."})
    created_at = UtcText(required=True, metadata={"description": "When it was made, UTC."})
    created_by = Text(
        required=True,
        allow_none=True,
        metadata={
            "description": "The key_id of the key that made it; `cli` is the command line, `start` "
            "the first start, `admin` the key of SCORELINE_ADMIN_KEY, null an older Scoreline."
        },
    )
    expires_at = UtcText(
        required=True, allow_none=True, metadata={"description": "When it ends, if ever, UTC."}
    )
    last_used_at = UtcText(
        required=True,
        allow_none=True,
        metadata={"description": "When it was last used, UTC, to about a minute; null if never."},
    )
    revoked_at = UtcText(
        required=True,
        allow_none=True,
        metadata={"description": "When it was revoked, UTC; null while it is not."},
    )


class KeyCreateRes(KeyReadRes):
    """A new API key, with the key itself."""

    key = Text(required=True, metadata={"description": "The key: nobody can ask for it again."})


class KeyListQuery(Query):
    """Which page of the list of keys."""

    limit = WholeNumber(
        least=1, most=1_000, load_default=1_000, metadata={"description": "At most so many."}
    )
    after = Text(load_default="", metadata={"description": "Only keys after this key_id."})


class KeyRevokeQuery(Query):
    """What else to revoke."""

    cascade = Flag(
        load_default=False,
        metadata={
            "description": "Revoke also the keys that were made with it, those that were made with "
            "these, and so on; the key itself may be revoked already."
        },
    )


class KeyRevokeRes(KeyReadRes):
    """A revoked key, and what became of the keys that were made with it."""

    also_revoked = fields.Integer(
        required=True,
        metadata={"description": "How many keys that were made with it were revoked by this call."},
    )
    left_in_use = fields.Integer(
        required=True,
        metadata={"description": "How many keys that were made with it are still in use."},
    )


class KeyListRes(Shape):
    """The API keys of a scope."""

    keys = fields.List(
        fields.Nested(KeyReadRes), required=True, metadata={"description": "Oldest first."}
    )
