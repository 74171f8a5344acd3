"""Schemas of API keys. None has the hash of a key; only KeyCreateRes has the key itself."""

from __future__ import annotations

from marshmallow import RAISE, fields

from app.schemas.fields import UNKNOWN, Choice, FutureDatetime, Query, Shape, Text, UtcText
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

    name = Text(
        required=True, metadata={"description": "What the key is for; shown in lists.", **_NAME}
    )
    role = Choice(ROLES, required=True, metadata={"description": "What the key may do."})
    scope = Text(
        required=True,
        metadata={
            "description": "Where the key is valid: entity/project, entity/*, or * for all.",
            "pattern": SCOPE,
            "maxLength": MAX_SCOPE_CHARACTERS,
        },
    )
    owner = Text(
        load_default=None,
        allow_none=True,
        metadata={
            "description": "The wb_user_id of the key's scores. Default: the name.",
            "pattern": f"^$|{NAME}",
            "maxLength": MAX_NAME_CHARACTERS,
        },
    )
    expires_at = FutureDatetime(
        load_default=None,
        allow_none=True,
        metadata={
            "description": "When the key expires, with a time zone. Default: as the caller's key."
        },
    )


class KeyReadRes(Shape):
    """An API key, without the key itself."""

    key_id = Text(required=True, metadata={"description": "The id of the key, in calls and logs."})
    name = Text(required=True, metadata={"description": "What the key is for."})
    role = Text(
        required=True, metadata={"description": "What the key may do.", "enum": list(ROLES)}
    )
    scope = Text(required=True, metadata={"description": "Where the key is valid."})
    owner = Text(required=True, metadata={"description": "The wb_user_id of the key's scores."})
    created_at = UtcText(
        required=True, metadata={"description": "When the key was created, in UTC."}
    )
    created_by = Text(
        required=True,
        allow_none=True,
        metadata={
            "description": "The key_id of the key that created it; `cli` for the command line, "
            "`start` for the first start, `admin` for the key of SCORELINE_ADMIN_KEY, null if an "
            "older Scoreline created it."
        },
    )
    expires_at = UtcText(
        required=True,
        allow_none=True,
        metadata={"description": "When the key expires, in UTC; null if it does not."},
    )
    last_used_at = UtcText(
        required=True,
        allow_none=True,
        metadata={
            "description": "When the key was last used, in UTC, to about a minute; null if never."
        },
    )
    revoked_at = UtcText(
        required=True,
        allow_none=True,
        metadata={"description": "When the key was revoked, in UTC; null if it is not."},
    )


class KeyCreateRes(KeyReadRes):
    """A new API key, with the key itself."""

    key = Text(required=True, metadata={"description": "The key, which cannot be read again."})


class KeyListQuery(Query):
    """The query of a page of API keys."""

    limit = WholeNumber(
        least=1,
        most=1_000,
        load_default=1_000,
        metadata={"description": "The most keys to return."},
    )
    after = Text(load_default="", metadata={"description": "Only keys after this key_id."})


class KeyRevokeQuery(Query):
    """The query that revokes an API key."""

    cascade = Flag(
        load_default=False,
        metadata={
            "description": "Also revoke the keys that were created with it, those created with "
            "these, and so on; the key itself may already be revoked."
        },
    )


class KeyRevokeRes(KeyReadRes):
    """A revoked key, and how many of the keys that were created with it were revoked or not."""

    also_revoked = fields.Integer(
        required=True,
        metadata={"description": "How many keys created with it this call revoked too."},
    )
    left_in_use = fields.Integer(
        required=True,
        metadata={"description": "How many keys created with it are still in use."},
    )


class KeyListRes(Shape):
    """A page of API keys."""

    keys = fields.List(
        fields.Nested(KeyReadRes),
        required=True,
        metadata={"description": "The keys, oldest first."},
    )
