"""`/v1/keys`: create, list and revoke API keys, as `scoreline keys` does."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from flask import Blueprint, Response

from app.api.auth import allow_in_scope, caller
from app.api.contract import raises, response
from app.api.inputs import body, no_query, query
from app.api.limits import limit_concurrency
from app.api.state import state
from app.api.streams import link_to_page_after
from app.errors import NotFound, TooManyKeys
from app.schemas.keys import (
    KeyCreateBody,
    KeyCreateRes,
    KeyListQuery,
    KeyListRes,
    KeyRevokeQuery,
    KeyRevokeRes,
)
from app.services import keys as service

blueprint = Blueprint("Keys", __name__)

PATH = "/v1/keys"


@blueprint.after_request
def _keep_out_of_caches(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    return response


@blueprint.post("")
@allow_in_scope("keys")
@raises(TooManyKeys)
@response(KeyCreateRes)
@no_query
@body(KeyCreateBody)
def key_create(body: dict[str, Any]) -> dict[str, Any]:
    """Create an API key. The key itself is only in this response."""
    key, secret = service.create_key(state().store, **body, caller=caller())
    return {**asdict(key), "key": secret}


@blueprint.get("")
@allow_in_scope("keys")
@limit_concurrency
@response(KeyListRes, header="Link")
@query(KeyListQuery)
def key_list(query: dict[str, Any]) -> dict[str, Any]:
    """List the API keys in the caller's scope, oldest first, including revoked ones."""
    limit = query["limit"]
    keys = service.list_keys(state().store, caller(), query["after"], limit + 1)
    if len(keys) > limit:
        link_to_page_after(keys[limit - 1].key_id)
    return {"keys": keys[:limit]}


@blueprint.delete("/<key_id>")
@allow_in_scope("keys")
@raises(NotFound)
@response(KeyRevokeRes)
@query(KeyRevokeQuery)
def key_revoke(key_id: str, query: dict[str, Any]) -> dict[str, Any]:
    """Revoke an API key in the caller's scope; it stops working within a second."""
    revoked = service.revoke_key(state().store, key_id, caller(), cascade=query["cascade"])
    return {**asdict(revoked.key), **asdict(revoked)}
