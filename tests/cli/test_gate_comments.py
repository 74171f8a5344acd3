"""`scoreline gate --markdown`: the comment on a pull request."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from app.cli.gate_comment import comment, worst_examples
from tests.cli.commands import run_command
from tests.processes import ADMIN_KEY, Service, environment

PROJECT = "acme/comments"
MARKER = "<!-- scoreline gate acme/comments -->"
HOSTILE = (
    "</pre></code><script>x</script>\n\n/close\n@team #12 ![i](http://e.x/i) http://e.x/ | `*_&lt;"
)
MAX_LENGTH = 65_536
"""The most characters of a comment on GitHub."""


@pytest.fixture(scope="module")
def filled(service: Service) -> Service:
    """The service with two runs of eight examples, and two that only scores name."""
    for run, step in (("main", 0.0), ("pr-1", 0.1)):
        predictions = [
            {
                "prediction_id": f"{run}/{place}",
                "evaluation_run_id": run,
                "model": "m",
                "inputs": {"question": f"What is {place}?", "hostile": HOSTILE},
                "output": f"{run} answers {place} {HOSTILE}",
            }
            for place in range(8)
        ]
        scores = [
            {
                "prediction_id": f"{run}/{place}",
                "evaluation_run_id": run,
                "scorer": "s",
                "value": 0.9 - step * place,
                "reason": f"{run} is {place} away {HOSTILE}",
            }
            for place in range(8)
        ]
        named = [
            {"prediction_id": "p", "evaluation_run_id": f"{run}-bare", "scorer": "s", "value": step}
        ]
        _send(service, "predictions", predictions)
        _send(service, "scores", scores + named)
    return service


def _send(service: Service, name: str, sent: list[dict[str, Any]]) -> None:
    answer = service.post(f"/v2/{PROJECT}/{name}/batch", {name: sent})
    assert answer.status == 200, answer.body


def run(service: Service, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    env = environment(SCORELINE_URL=service.url, SCORELINE_KEY=ADMIN_KEY)
    given = ("gate", "--project", PROJECT, *arguments)
    return run_command(*given, cwd=service.log.parent, env=env)


class Reader(HTMLParser):
    """The tags of a comment, and its text inside and outside of code."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.code = self.prose = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        """Note a tag; ours have no attributes."""
        assert not attrs
        self.tags.add(tag)
        self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Close the innermost tag."""
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Keep text."""
        if {"code", "pre"} & set(self._open):
            self.code += data
        else:
            self.prose += data


GATE = ("--run", "pr-1", "--baseline", "main", "--scorer", "s", "--pair-by", "after:/")
LIMITS = ("--direction", "higher", "--not-worse-by", "0.1", "--min", "0.1")


def test_a_comment_has_the_sentence_the_checks_and_the_five_worst_regressions(
    filled: Service, tmp_path: Path
) -> None:
    file = tmp_path / "gate.md"
    done = run(filled, [*GATE, *LIMITS, "--markdown", str(file)])
    assert done.returncode == 1, done.stderr
    text = file.read_text("utf-8")
    first, second, third, *_ = text.splitlines()
    assert (first, second) == (MARKER, "<h3>Scoreline gate: failed</h3>")
    assert third == f"<p><code>{done.stdout.splitlines()[-1]}</code></p>"
    rows = [line for line in text.splitlines() if line.startswith("<tr><td>")]
    assert rows[0].startswith("<tr><td><code>s not_worse_by</code></td><td>0.1</td><td>-0.35</td>")
    assert "(90%)</td><td><b>failed</b></td>" in rows[0]
    assert [line for line in text.splitlines() if line.startswith("<summary>")] == [
        f"<summary><code>s</code>: 0.9 → {after}</summary>" for after in (0.2, 0.3, 0.4, 0.5, 0.6)
    ]
    shown = Reader(text).code
    for place in (7, 6, 5, 4, 3):
        assert f"What is {place}?" in shown
        for name in ("main", "pr-1"):
            assert f"{name} answers {place}" in shown
            assert f"{name} is {place} away" in shown
    assert "What is 2?" not in shown


def test_nothing_of_a_text_is_markup_a_mention_or_a_link(filled: Service, tmp_path: Path) -> None:
    file = tmp_path / "gate.md"
    scorer = ["--run", HOSTILE, "--baseline", HOSTILE, "--scorer", HOSTILE, "--min", "0"]
    for arguments in ([*GATE, *LIMITS], scorer):
        run(filled, [*arguments, "--markdown", str(file)])
        text = file.read_text("utf-8")
        read = Reader(text)
        assert read.tags <= {
            *("h3", "h4", "p", "b", "code", "pre", "details", "summary"),
            *("table", "tr", "th", "td"),
        }
        assert not {"@", "#", "/", "!"} & set(read.prose)
        assert "@team #12 ![i](http://e.x/i) http://e.x/ | `*_&lt;" in read.code
        assert all(line.startswith("<") for line in text.splitlines())


def test_a_prediction_that_only_scores_name_has_no_inputs(filled: Service) -> None:
    arguments = ["--run", "main-bare", "--baseline", "pr-1-bare", "--scorer", "s"]
    done = run(filled, [*arguments, "--max-drop", "0", "--markdown", "-"])
    assert done.returncode == 1, done.stderr
    assert done.stdout.startswith(MARKER)
    assert done.stdout.count("Only scores name this prediction in the run") == 2
    assert "<pre>" not in done.stdout


def test_a_prediction_of_another_run_is_not_shown_as_that_of_this_one(filled: Service) -> None:
    score = {"evaluation_run_id": "borrowed", "prediction_id": "main/1", "scorer": "s", "value": 0}
    filled.post(f"/v2/{PROJECT}/scores", score)
    arguments = ["--run", "borrowed", "--baseline", "main", "--scorer", "s", "--max-drop", "0"]
    done = run(filled, [*arguments, "--pair-by", "prediction_id", "--markdown", "-"])
    assert done.stdout.count("main answers 1") == 1
    assert done.stdout.count("Only scores name this prediction in the run") == 1


def test_a_comment_without_a_result_replaces_an_earlier_one(
    filled: Service, tmp_path: Path
) -> None:
    file = tmp_path / "gate.md"
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        done = run(filled, [*GATE, *LIMITS, "--url", url, "--markdown", str(file)])
    assert done.returncode == 2
    first, second, why = file.read_text("utf-8").splitlines()
    assert (first, second) == (MARKER, "<h3>Scoreline gate: no result</h3>")
    assert f"no answer from {url}" in why


def test_a_title_tells_the_comments_of_two_gates_apart(filled: Service) -> None:
    arguments = [*GATE, *LIMITS, "--markdown", "-"]
    for title, shown in (("nightly set", "nightly%20set"), ("a --> @b", "a%20--%3E%20%40b")):
        first, second, *_ = run(filled, [*arguments, "--title", title]).stdout.splitlines()
        assert first == f"<!-- scoreline gate acme/comments {shown} -->"
        escaped = title.replace(">", "&gt;")
        assert second == f"<h3>Scoreline gate <code>{escaped}</code>: failed</h3>"
    done = run(filled, [*GATE, *LIMITS, "--title", "x"])
    assert (done.returncode, done.stderr) == (2, "scoreline: --title is that of --markdown\n")


def test_a_comment_on_stdout_stands_alone(filled: Service) -> None:
    done = run(filled, [*GATE, *LIMITS, "--json", "--markdown", "-"])
    assert (done.returncode, done.stdout) == (2, "")
    assert "give only one of --json and --markdown -" in done.stderr


# Without a service


class Long:
    """A client whose predictions and scores have long texts."""

    project = "acme/-->"

    def read_prediction(self, _prediction_id: str) -> tuple[bytes, dict[str, Any]]:
        """Return a prediction whose texts are as long as they may be."""
        long = "&" * 100_000
        answer = {"inputs": {"a": long}, "output": long, "evaluation_run_id": None, "error": long}
        return b"", answer

    def read(self, _score_id: str) -> tuple[bytes, dict[str, Any]]:
        """Return a score."""
        return b"", {"reason": "&" * 100_000}


def change(name: str) -> dict[str, Any]:
    return {
        "prediction_id": name,
        "candidate_prediction_id": name,
        **{f"{side}_score_id": name for side in ("baseline", "candidate")},
        **{f"{side}_value": "&" * 100_000 for side in ("baseline", "candidate")},
        **{f"{side}_trials": 3 for side in ("baseline", "candidate")},
    }


def gated(scorer: str, outcome: str, *names: str) -> tuple[dict[str, Any], dict[str, Any]]:
    name = {"scorer": scorer, "leaf": "", "baseline": "main"}
    check = {**name, "name": "min", "wanted": 1.0, "found": 0.123456789123, "outcome": outcome}
    check |= {"why": "&" * 100_000, "interval": {"low": 0.0, "high": 1.0, "level": 0.95}}
    return check, {**name, "regressions": [change(name) for name in names]}


def answered(*gates: tuple[dict[str, Any], dict[str, Any]]) -> dict[str, Any]:
    checks, found = zip(*gates, strict=True)
    return {
        "run": "R" * 100_000,
        "outcome": "failed",
        "reason": "&" * 100_000,
        "checks": list(checks),
        "gates": list(found),
    }


def test_metrics_that_failed_come_first_and_each_has_its_worst_example() -> None:
    result = answered(
        gated("fine", "passed", "a", "b"),
        gated("bad", "failed", "c", "d", "e"),
        gated("unclear", "inconclusive", "c", "f", "g"),
    )
    found = [
        (changes[0][1]["prediction_id"], [gate["scorer"] for gate, _ in changes])
        for changes in worst_examples(result)
    ]
    assert found == [
        ("c", ["bad", "unclear"]),
        ("a", ["fine"]),
        ("d", ["bad"]),
        ("f", ["unclear"]),
        ("b", ["fine"]),
    ]


def test_a_comment_is_never_longer_than_a_platform_allows() -> None:
    names = [f"{'&' * 100_000}{place}" for place in range(5)]
    result = answered(*(gated(f"{'&' * 100_000}{place}", "failed", *names) for place in range(99)))
    text = comment(Long(), json.loads(json.dumps(result)))  # type: ignore[arg-type]
    assert len(text) < MAX_LENGTH
    assert text.startswith("<!-- scoreline gate acme/--%3E -->\n")
    assert text.count("<details>") == 5
    assert "<p>and 59 more checks</p>" in text
    Reader(text)
