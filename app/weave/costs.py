"""The SDK's routes for what the tokens of models cost in a project."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

from flask import Response
from marshmallow import ValidationError, fields

from app import jsontext
from app.analysis.expressions import Expression
from app.api.auth import allow_in_body
from app.api.contract import json_response
from app.api.inputs import body
from app.api.limits import limit_concurrency
from app.api.state import state
from app.ids import new_id
from app.schemas.documents import time_text
from app.schemas.fields import (
    MISSING,
    NOT_A_DATETIME,
    NOT_A_DICTIONARY,
    Datetime,
    Described,
    Nested,
    Reason,
    Shape,
    Text,
    check_unicode,
)
from app.stores.base import DocumentQuery
from app.stores.weave import Cost
from app.weave.blueprints import place_of, sdk_blueprint
from app.weave.call_reading_schemas import FeedbackQueryBody
from app.weave.change_routes import IdsQueryBody, ids_in
from app.weave.contents import Place
from app.weave.queries import Sort, compile_condition, compile_order, invalid, select
from app.weave.schemas import ProjectBody

blueprint = sdk_blueprint("Weave costs")

MAX_COSTS = 10_000
"""How many costs a project may have."""

NOT_A_NUMBER = Reason("float_type", "Input should be a valid number")
UNIT, PROVIDER = "USD", "default"

SHOWN = (
    *("id", "llm_id", "provider_id", "effective_date"),
    *("prompt_token_cost", "completion_token_cost"),
    *("cache_read_input_token_cost", "cache_creation_input_token_cost"),
    *("prompt_token_cost_unit", "completion_token_cost_unit"),
)
"""The fields of a cost."""

TEXTS = frozenset({"id", "llm_id", "provider_id", "effective_date"})
TIMES = ("effective_date",)


class Price(Described):
    """A JSON number. Nothing is coerced."""

    default_error_messages = {"required": MISSING, "null": NOT_A_NUMBER}

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValidationError(NOT_A_NUMBER)
        try:
            price = float(value)
        except OverflowError:
            price = math.inf
        if not math.isfinite(price):
            raise ValidationError(NOT_A_NUMBER)
        return price


class UtcDatetime(Datetime):
    """A datetime in a body, in UTC; it may name no zone, as those of the SDK do."""

    default_error_messages = {"null": NOT_A_DATETIME}

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> datetime:
        if not isinstance(value, str):
            raise ValidationError(NOT_A_DATETIME)
        try:
            return super()._deserialize(value).astimezone(UTC)
        except OverflowError:  # The first or the last day of all, in another zone.
            raise ValidationError(NOT_A_DATETIME) from None


class CostToCreate(Shape):
    """What the tokens of a model cost."""

    provider_id = Text(load_default=None, allow_none=True)
    effective_date = UtcDatetime(load_default=None, allow_none=True)
    prompt_token_cost = Price(required=True)
    completion_token_cost = Price(required=True)
    cache_read_input_token_cost = Price(load_default=0.0)
    cache_creation_input_token_cost = Price(load_default=0.0)
    prompt_token_cost_unit = Text(load_default=None, allow_none=True)
    completion_token_cost_unit = Text(load_default=None, allow_none=True)


class CostsByModel(Described):
    """An object with costs by the id of the model."""

    default_error_messages = {"required": MISSING, "null": NOT_A_DICTIONARY}
    _cost = Nested(CostToCreate)

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise ValidationError(NOT_A_DICTIONARY)
        loaded: dict[str, Any] = {}
        for llm_id, cost in value.items():
            try:
                check_unicode(llm_id)
                loaded[llm_id] = self._cost.deserialize(cost)
            except ValidationError as error:
                raise ValidationError({llm_id: error.messages}) from None
        return loaded


class CostCreateBody(ProjectBody):
    """The body that creates costs."""

    costs: fields.Field[Any] = CostsByModel(required=True)


@blueprint.post("/cost/create")
@allow_in_body("change")
@body(CostCreateBody)
def cost_create(body: dict[str, Any]) -> Response:
    """Create costs, and return their ids and models."""
    place, costs, store = place_of(body["project_id"]), body["costs"], state().store
    query = DocumentQuery(place.entity, place.project, limit=MAX_COSTS)
    if len(store.list_sort_ids(Cost, query)) + len(costs) > MAX_COSTS:
        raise invalid("costs", f"a project has at most {MAX_COSTS} costs")
    made = [cost_of(place, llm_id, costs[llm_id]) for llm_id in costs]
    store.add_documents(made)
    return json_response(
        {"ids": [[each.id, llm_id] for each, llm_id in zip(made, costs, strict=True)]}
    )


def cost_of(place: Place, llm_id: str, sent: dict[str, Any]) -> Cost:
    """Return the cost of a loaded CostToCreate; it is effective from now on if no date was sent."""
    content = {
        **sent,
        "llm_id": llm_id,
        "provider_id": sent["provider_id"] or PROVIDER,
        "effective_date": time_text(sent["effective_date"] or datetime.now(UTC)),
        "prompt_token_cost_unit": sent["prompt_token_cost_unit"] or UNIT,
        "completion_token_cost_unit": sent["completion_token_cost_unit"] or UNIT,
    }
    return Cost(
        entity=place.entity,
        project=place.project,
        wb_user_id=place.owner,
        id=new_id(),
        body_hash="",
        body_json=jsontext.write(content),
    )


class CostView:
    """A cost with the names and the values that the SDK reads."""

    def __init__(self, cost: Cost) -> None:
        self.id = cost.id
        self.sort_id = cost.sort_id
        self.shown = {"id": cost.id, **jsontext.read(cost.body_json.encode())}


def compile_field(name: Any) -> Expression:
    """Return a field as a function of views. Raises InvalidParameter."""
    if name not in SHOWN:
        raise invalid("query", f"a cost has no field {name!r}", name)
    return lambda view: view.shown[name]


@blueprint.post("/cost/query")
@allow_in_body("read")
@limit_concurrency
@body(FeedbackQueryBody)
def cost_query(body: dict[str, Any]) -> Response:
    """Return the costs of a query, oldest first unless it has an order."""
    place, columns = place_of(body["project_id"]), body["columns"] or SHOWN
    fields = {name: compile_field(name) for name in columns}
    condition = compile_condition(body["query"], compile_field, TIMES)
    order = compile_order(body["sort_by"] or (), compile_field, TEXTS)
    order.append(Sort(lambda view: view.sort_id, descending=False, plain=True))
    stored = state().store.read_documents(Cost, DocumentQuery(place.entity, place.project))
    views = {view.id: view for view in map(CostView, stored) if not condition or condition(view)}
    ids, _ = select(views.values(), order, body["offset"] or 0, body["limit"])
    return json_response(
        {"results": [{name: fields[name](views[each]) for name in fields} for each in ids]}
    )


@blueprint.post("/cost/purge")
@allow_in_body("delete")
@body(IdsQueryBody)
def cost_purge(body: dict[str, Any]) -> Response:
    """Delete costs, which the query names by id."""
    place = place_of(body["project_id"])
    state().store.delete_documents(Cost, place.entity, place.project, ids_in(body))
    return json_response({})
