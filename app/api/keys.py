"""API keys over HTTP: `/v1/keys`, what `scoreline keys` does at the command line."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from flask import Blueprint, Response

from app.api.auth import allow_in_scope, caller
from app.api.contract import raises, response
from app.api.inputs import body, no_query
from app.api.state import state
from app.errors import NotFound
from app.schemas.keys import KeyCreateBody, KeyCreateRes, KeyListRes, KeyReadRes
from app.services import keys as service

blueprint = Blueprint("Keys", __name__)

PATH = "/v1/keys"


@blueprint.after_request
def _keep_out_of_caches(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    return response


@blueprint.post("")
@allow_in_scope("keys")
@response(KeyCreateRes)
@no_query
@body(KeyCreateBody)
def key_create(body: dict[str, Any]) -> dict[str, Any]:
    """Make an API key, which is told this once."""
    key, secret = service.create_key(state().store, **body, by=caller())
    return {**asdict(key), "key": secret}


@blueprint.get("")
@allow_in_scope("keys")
@response(KeyListRes)
@no_query
def key_list() -> dict[str, Any]:
    """List the API keys of the own scope, oldest first, revoked ones too."""
    return {"keys": service.list_keys(state().store, caller())}


@blueprint.delete("/<key_id>")
@allow_in_scope("keys")
@raises(NotFound)
@response(KeyReadRes)
@no_query
def key_revoke(key_id: str) -> Any:
    """Revoke an API key of the own scope: it stops within a second."""
    return service.revoke_key(state().store, key_id, caller())
