"""Write a proposal for `scoreline.toml` from what the scores of a project show."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from app.cli.base import counted
from app.cli.project_file import toml_text

HEADER = """\
# Proposed for {project}, from what its current scores show. Edit it, then run
#   scoreline metrics apply --project {project} --file scoreline.toml
# No direction is guessed: write "higher" or "lower" where that is better.
"""


def proposal_text(project: str, metrics: list[dict[str, Any]]) -> str:
    """Return the proposal as TOML: a `[[metric]]` table for each leaf."""
    shown = toml_text(project)[1:-1]
    return "\n".join([HEADER.format(project=shown), *map(_table, metrics)])


def _table(metric: dict[str, Any]) -> str:
    leaf = [f"leaf = {toml_text(metric['leaf'])}"] if metric["leaf"] else []
    return "\n".join(
        [
            "[[metric]]",
            f"scorer = {toml_text(metric['scorer'])}",
            *leaf,
            'direction = "none"',
            *(f"# {line}" for line in _hints(metric)),
            "",
        ]
    )


def _hints(metric: dict[str, Any]) -> Iterator[str]:
    """Yield comments: what the values are, and what could be declared of them."""
    kinds = metric["kinds"]
    if boolean := kinds.get("boolean"):
        yield f"{counted(boolean, 'boolean')}: a rate"
    if number := kinds.get("number"):
        if metric["only_0_and_1"]:
            yield f"{counted(number, 'number')}, all 0 or 1: a rate"
            yield 'true_when = "= 1"'
        else:
            yield f"{counted(number, 'number')}{_range(metric)}"
    if text := kinds.get("text"):
        yield f"{counted(text, 'text')}{'' if metric['texts'] else ', most of them different'}"
        if texts := metric["texts"]:
            yield from (f"  {each['scores']} times {toml_text(each['text'])}" for each in texts)
            listed = ", ".join(toml_text(each["text"]) for each in texts)
            yield f"true_when = [{listed}]  # Leave only those that are true."
    if null := kinds.get("null"):
        yield f"{counted(null, 'null')}: failed judgements"


def _range(metric: dict[str, Any]) -> str:
    if metric["minimum"] is None:
        return ", too large to be compared"
    return f" from {metric['minimum']:.12g} to {metric['maximum']:.12g}"
