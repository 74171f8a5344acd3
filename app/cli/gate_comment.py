"""The comment of a gate on a pull request: the outcome, the checks and the worst regressions.

It is HTML, which Markdown passes on, without blank lines, which would end it. All text that is not
our own is escaped and inside `code` or `pre`, where GitHub and GitLab make no links and no mentions
of it; a line of it never begins a line of the comment, which might be a command.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any
from urllib.parse import quote

from app.cli.base import ServiceError, counted, printable
from app.cli.client import Client

WORST = 5
"""How many examples the comment has."""

MAX_METRICS = 3
"""The most metrics of an example."""

MAX_CHECKS = 40
"""The most rows; the lengths below keep the whole under the 65,536 characters of GitHub."""

NAME, REASON, SENTENCE, CONTENT = 100, 400, 1_500, 1_500
"""The most characters of a text, once it is escaped."""

ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\n": "&#10;", "\t": "&#9;"}
"""A line break in a text that is shown, not in the comment itself."""

RANKS = {"failed": 0, "inconclusive": 1, "passed": 2}
"""The order of checks and metrics."""

RELATIVE = ("not_worse_by", "max_drop", "max_rise", "slice", "min_compared")
"""The checks against a baseline."""

COLUMNS = ("check", "wanted", "found", "interval", "outcome", "why")

NO_INPUTS = "Only scores name this prediction in the run: its inputs and output are not stored."

Json = Mapping[str, Any]


def comment(client: Client, result: Json, title: str | None = None) -> str:
    """Return the comment for the response of a gate that lists regressions.

    The title tells it from those of other gates of the project. Raises ServiceError and
    ServiceUnreachable.
    """
    head = _head(client.project, title, result["outcome"], result["reason"])
    lines = [*head, *_checks(result)]
    found = worst_examples(result)
    if found:
        lines.append("<h4>Worst regressions</h4>")
    for example in found:
        lines += _example(client, result["run"], example)
    return "\n".join([*lines, ""])


def comment_without_result(project: str, title: str | None, why: str) -> str:
    """Return the comment for a gate without a result, which replaces that of an earlier push."""
    return "\n".join([*_head(project, title, "no result", why), ""])


def check_title(check: Json, baselines: Collection[str]) -> str:
    """Return the scorer, the leaf and the name of a check, and which of several baselines it has.

    `baselines` are those of `several_baselines`.
    """
    title = " ".join(filter(None, (check.get("scorer"), check.get("leaf"), check["name"])))
    is_named = check["name"] in RELATIVE and check.get("baseline") in baselines
    return f"{title} against {check['baseline']}" if is_named else title


def several_baselines(result: Json) -> Collection[str]:
    """Return the baselines of a gate if there are several, otherwise none."""
    found = {check["baseline"] for check in result["checks"] if check.get("baseline")}
    return found if len(found) > 1 else ()


def figure(number: float | None) -> str:
    """Return a figure as text; a dash without one."""
    return "-" if number is None else f"{number + 0:.12g}"  # Adding 0 makes -0.0 to 0.


def worst_examples(result: Json) -> list[list[tuple[Json, Json]]]:
    """Return the examples that got worse most, each with its metrics and their changes.

    Metrics that failed come first. Of each, the worst example is before the second of any other.
    """
    gates = result.get("gates", [result])
    ordered = sorted(gates, key=lambda gate: _rank(gate, result["checks"]))
    found: dict[tuple[str, ...], list[tuple[Json, Json]]] = {}
    for changes in zip_longest(*(gate["regressions"] for gate in ordered)):
        for gate, change in zip(ordered, changes, strict=True):
            if change is None:
                continue
            key = gate["baseline"], change["prediction_id"], change["candidate_prediction_id"]
            if key in found or len(found) < WORST:
                found.setdefault(key, []).append((gate, change))
    return list(found.values())


def _rank(gate: Json, checks: Sequence[Json]) -> int:
    names = ("scorer", "leaf", "baseline")
    own = [each for each in checks if all(each.get(name) == gate[name] for name in names)]
    return min((RANKS[each["outcome"]] for each in own), default=len(RANKS))


def _head(project: str, title: str | None, outcome: str, reason: str) -> list[str]:
    """Return the head, whose first line is the same for each push, and for this gate alone."""
    marker = " ".join(quote(each) for each in (project, title) if each)
    name = f" {_code(title, NAME)}" if title else ""
    return [
        f"<!-- scoreline gate {marker} -->",
        f"<h3>Scoreline gate{name}: {outcome}</h3>",
        f"<p>{_code(reason, SENTENCE)}</p>",
    ]


def _checks(result: Json) -> Iterator[str]:
    """Yield the table of checks, those that did not pass first."""
    baselines = several_baselines(result)
    checks = sorted(result["checks"], key=lambda check: RANKS[check["outcome"]])
    yield "<table>"
    yield f"<tr>{''.join(f'<th>{name}</th>' for name in COLUMNS)}</tr>"
    for check in checks[:MAX_CHECKS]:
        outcome = check["outcome"]
        cells = (
            _code(check_title(check, baselines), NAME),
            figure(check["wanted"]),
            "-" if check["found"] is None else f"{check['found'] + 0:.6g}",
            _interval(check["interval"]),
            outcome if outcome == "passed" else f"<b>{outcome}</b>",
            _code(check["why"], REASON) if check["why"] else "",
        )
        yield f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
    yield "</table>"
    if len(checks) > MAX_CHECKS:
        yield f"<p>and {counted(len(checks) - MAX_CHECKS, 'more check')}</p>"


def _interval(interval: Json | None) -> str:
    if interval is None:
        return "-"
    low, high = (f"{interval[name]:.4g}" for name in ("low", "high"))
    return f"{low} to {high} ({interval['level']:.0%})"


def _example(client: Client, run: str, changes: Sequence[tuple[Json, Json]]) -> Iterator[str]:
    """Yield one example: what changed, the inputs, and both outputs with the scorers' reasons."""
    gate, change = changes[0]
    shown = list({_change(*each): each for each in changes}.items())[:MAX_METRICS]
    yield "<details>"
    yield f"<summary>{'; '.join(text for text, _ in shown)}</summary>"
    sides = (("baseline", gate["baseline"]), ("candidate", run))
    ids = {"baseline": change["prediction_id"], "candidate": change["candidate_prediction_id"]}
    read = {side: _prediction(client, ids[side], run_id) for side, run_id in sides}
    yield from _inputs([each["inputs"] for each in read.values() if each is not None])
    for side, run_id in sides:
        yield (
            f"<p>Prediction {_code(ids[side], NAME)} of the {side} {_code(run_id, NAME)}"
            f"{_trials(change[f'{side}_trials'])}:</p>"
        )
        prediction = read[side]
        if prediction is None:
            yield f"<p>{NO_INPUTS}</p>"
        else:
            yield _pre(prediction["output"])
            if prediction.get("error"):
                yield f"<p>The model failed: {_code(prediction['error'], REASON)}</p>"
        yield from _reasons(client, side, [each for _, each in shown])
    yield "</details>"


def _trials(number: int) -> str:
    return f", the newest of {number} trials, whose mean is compared" if number > 1 else ""


def _change(gate: Json, change: Json) -> str:
    metric = " ".join(filter(None, (gate["scorer"], gate["leaf"])))
    before, after = (_value(change[f"{side}_value"]) for side in ("baseline", "candidate"))
    return f"{_code(metric, NAME)}: {before} → {after}"


def _value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return _code(_text(value), NAME)


def _inputs(inputs: Sequence[Any]) -> Iterator[str]:
    """Yield the inputs, of both predictions if they are paired by something else."""
    different = [each for place, each in enumerate(inputs) if each not in inputs[:place]]
    for each in different:
        yield "<p>Inputs:</p>" if len(different) == 1 else "<p>Inputs of one of them:</p>"
        yield _pre(each)


def _reasons(client: Client, side: str, changes: Sequence[tuple[Json, Json]]) -> Iterator[str]:
    for gate, change in changes:
        score = _found(client.read, change[f"{side}_score_id"])
        if score is not None and score.get("reason"):
            yield f"<p>{_code(gate['scorer'], NAME)} says: {_code(score['reason'], REASON)}</p>"


def _prediction(client: Client, prediction_id: str, run: str) -> Json | None:
    """Return a prediction of a run; None if only scores name it there, or it was deleted."""
    found = _found(client.read_prediction, prediction_id)
    return found if found is not None and found["evaluation_run_id"] in (None, run) else None


def _found(read: Callable[[str], tuple[bytes, Json]], document_id: str) -> Json | None:
    try:
        return read(document_id)[1]
    except ServiceError as error:
        if not error.is_missing:
            raise
        return None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)


def _code(text: str, most: int) -> str:
    """Return a text as code on one line."""
    return f"<code>{_escaped(' '.join(text.split()), most)}</code>"


def _pre(value: Any) -> str:
    """Return a value as a block of code, on one line of the comment."""
    return f"<pre>{_escaped(_text(value), CONTENT)}</pre>"


def _escaped(text: str, most: int) -> str:
    """Return at most `most` characters of HTML for a text, cut where a character ends."""
    pieces: list[str] = []
    length = 0
    for character in text[:most]:
        piece = ESCAPES.get(character) or printable(character)
        length += len(piece)
        if length > most:
            break
        pieces.append(piece)
    return "".join(pieces) + ("…" if len(pieces) < len(text) else "")
