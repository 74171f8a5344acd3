"""Summary, compare, trend and agreement on the command line: formats and exit codes."""

from __future__ import annotations

import csv
import io
import json
import subprocess
from collections.abc import Sequence
from typing import Any

import click
import pytest

from app.cli.root import scoreline
from app.cli.trends import draw
from app.schemas.agreement import AgreementQuery
from app.schemas.comparisons import CompareQuery
from app.schemas.fields import Query
from app.schemas.gates import GateQuery
from app.schemas.summaries import SummaryQuery
from app.schemas.trends import TrendQuery
from tests.cli.commands import run_command
from tests.processes import ADMIN_KEY, Service, environment

PROJECT = "acme/answers"


@pytest.fixture(scope="module")
def filled(service: Service) -> Service:
    """The service with three runs of 40 predictions, and one of them with a scorer of parts."""
    items: list[dict[str, Any]] = [
        {
            "prediction_id": f"p{place}",
            "scorer": scorer,
            "value": value,
            "evaluation_run_id": run,
        }
        for run, passes in (("old", 20), ("new", 38), ("same", 20))
        for place in range(40)
        for scorer, value in (
            ("Exact", place < passes),
            ("=cmd|x", place / 40),
            ("label", "yes" if place < passes else "no"),
        )
    ]
    items += [
        {"prediction_id": "p0", "scorer": "parts", "value": value, "evaluation_run_id": run}
        for run, value in (("old", {"size": "s"}), ("new", None))
    ]
    answer = service.post(f"/v2/{PROJECT}/scores/batch", {"scores": items})
    assert answer.status == 200, answer.body
    return service


def run(
    service: Service, name: str, *arguments: str, key: str = ADMIN_KEY
) -> subprocess.CompletedProcess[str]:
    env = environment(SCORELINE_URL=service.url, SCORELINE_KEY=key)
    return run_command(name, "--project", PROJECT, *arguments, cwd=service.log.parent, env=env)


def lines(done: subprocess.CompletedProcess[str]) -> list[str]:
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


COMPARE = ("compare", "--baseline", "old", "--candidate", "new")


def test_passes_have_a_sentence_for_each_run(filled: Service) -> None:
    given = ("--scorer", "Exact", "--scorer", "=cmd|x", "--k", "1")
    shown = [line for line in lines(run(filled, *COMPARE, *given)) if " in the " in line]
    assert [line.split(" with a")[0] for line in shown] == [
        "Exact in the baseline: One or more of 1 trials pass",
        "Exact in the candidate: One or more of 1 trials pass",
    ]


def test_slices_have_rows_and_those_that_differ_sentences(service: Service) -> None:
    scores = [
        {
            "prediction_id": f"p{place}",
            "scorer": "s",
            "value": {"ok": place < passes, "topic": "art" if place < 20 else "math"},
            "evaluation_run_id": run,
        }
        for run, passes in (("old", 20), ("new", 38))
        for place in range(40)
    ]
    service.post("/v2/acme/slices/scores/batch", {"scores": scores})
    env = environment(SCORELINE_URL=service.url, SCORELINE_KEY=ADMIN_KEY)
    given = ("--leaf", "ok", "--slice-by", "leaf:topic", "--higher-is-better", "ok")
    arguments = (*COMPARE, "--project", "acme/slices", *given)
    shown = lines(run_command(*arguments, cwd=service.log.parent, env=env))
    assert shown[0].split()[:5] == ["candidate", "scorer", "leaf", "leaf:topic", "pairs"]
    assert [row.split()[3:5] for row in shown[1:4]] == [
        ["(all)", "40"],
        ["art", "20"],
        ["math", "20"],
    ]
    better, in_slice = (line for line in shown if "The candidate is better" in line)
    assert better.startswith("The candidate")
    assert in_slice.startswith("leaf:topic = math: ")


def test_a_comparison_is_a_table_and_a_sentence_for_each_metric(filled: Service) -> None:
    shown = lines(run(filled, *COMPARE, "--higher-is-better", ""))
    assert shown[0].split()[:4] == ["candidate", "scorer", "leaf", "pairs"]
    (row,) = [line.split() for line in shown if line.startswith("new") and " Exact " in line]
    assert row[:6] == ["new", "Exact", "40", "0.5", "0.95", "0.45"]
    assert (row[8], row[-1]) == ("mcnemar_mid_p", "better")
    (label,) = [line.split() for line in shown if " label " in line and "stuart_maxwell" in line]
    assert float(label[-2]) < 0.05
    assert "The candidate is better: Exact rose from 50 % to 95 % (+45 points" in "\n".join(shown)
    assert any(line.startswith("label changed in 18 of 40 examples, and") for line in shown)
    assert "\x1b" not in "\n".join(shown)


def test_a_comparison_in_markdown_has_nothing_of_a_name_as_markup(filled: Service) -> None:
    shown = lines(run(filled, *COMPARE, "--markdown"))
    assert shown[0].startswith("| candidate | scorer | leaf |")
    assert shown[1].startswith("| --- | --- |")
    assert any(line.startswith(r"| new | `=cmd\|x` |") for line in shown)
    assert any(line.startswith("- Exact rose from 50 % to 95 %") for line in shown)


def test_csv_has_no_formula(filled: Service) -> None:
    done = run(filled, *COMPARE, "--csv")
    rows = list(csv.DictReader(io.StringIO("\n".join(lines(done)))))
    assert {row["scorer"] for row in rows} == {"Exact", "'=cmd|x", "label", "parts"}
    (exact,) = [row for row in rows if row["scorer"] == "Exact"]
    assert (exact["difference"], exact["verdict"]) == ("0.45", "higher")


def test_csv_has_an_empty_cell_where_there_is_no_figure(filled: Service) -> None:
    done = run(filled, *COMPARE, "--csv", "--scorer", "label")
    (label,) = csv.DictReader(io.StringIO("\n".join(lines(done))))
    assert (label["pairs"], label["difference"], label["verdict"]) == ("40", "", "")


def test_trials_that_disagree_are_listed_on_request(service: Service) -> None:
    scores = [
        {
            "prediction_id": f"{place}#{run}{trial}",
            "scorer": "s",
            "value": trial < passes,
            "evaluation_run_id": run,
        }
        for run, passes in (("old", 2), ("new", 1))
        for place in range(6)
        for trial in range(3)
    ]
    service.post("/v2/acme/trials/scores/batch", {"scores": scores})
    env = environment(SCORELINE_URL=service.url, SCORELINE_KEY=ADMIN_KEY)
    arguments = (*COMPARE, "--project", "acme/trials", "--pair-by", "before:#", "--worst", "1")
    done = run_command(*arguments, cwd=service.log.parent, env=env)
    assert lines(done)[-1].split()[:4] == ["s", "lower", "0.666667", "0.333333"]
    done = run_command(*arguments, "--k", "3", cwd=service.log.parent, env=env)
    _, header, *rows = lines(done)[-4:]
    assert header.split()[:5] == ["scorer", "leaf", "run", "trials", "passes"]
    assert [row.split() for row in rows] == [
        ["s", "baseline", "3", "2", "0#old1", "0#old2"],
        ["s", "candidate", "3", "1", "0#new0", "0#new2"],
    ]


def test_a_summary_of_many_texts_says_how_many_there_are(service: Service) -> None:
    scores = [{"prediction_id": f"p{n}", "scorer": "s", "value": f"t{n}"} for n in range(11)]
    service.post("/v2/acme/texts/scores/batch", {"scores": scores})
    env = environment(SCORELINE_URL=service.url, SCORELINE_KEY=ADMIN_KEY)
    arguments = ("summary", "--project", "acme/texts")
    done = run_command(*arguments, cwd=service.log.parent, env=env)
    assert "11 different ones" in lines(done)[1]


def test_a_comparison_of_categories_says_which_became_which(filled: Service) -> None:
    header, row = lines(run(filled, *COMPARE, "--scorer", "label"))[-2:]
    assert header.split()[-3:] == ["baseline_value", "candidate_value", "examples"]
    assert row.split() == ["new", "label", "no", "yes", "18"]


def test_json_is_the_response_of_the_api(filled: Service) -> None:
    answer = json.loads(run(filled, *COMPARE, "--json", "--scorer", "Exact").stdout)
    assert [each["scorer"] for each in answer["comparisons"]] == ["Exact"]
    answer = json.loads(run(filled, "summary", "--json").stdout)
    assert answer["group_by"] == ["scorer_name", "leaf"]


def test_a_comparison_says_how_runs_without_pairs_were_compared(service: Service) -> None:
    scores = [
        {"prediction_id": f"{run}{n}", "scorer": "s", "value": n, "evaluation_run_id": run}
        for run in ("old", "new")
        for n in range(8)
    ]
    service.post("/v2/acme/apart/scores/batch", {"scores": scores})
    env = environment(SCORELINE_URL=service.url, SCORELINE_KEY=ADMIN_KEY)
    done = run_command(*COMPARE, "--project", "acme/apart", cwd=service.log.parent, env=env)
    how = "compared as two samples; pairs are by prediction_id"
    assert lines(done)[-1] == f"s: too few pairs (0): {how}"
    runs = ("compare", "--run", "old", "--run", "new", "--project", "acme/apart")
    done = run_command(*runs, cwd=service.log.parent, env=env)
    assert lines(done)[-1].endswith(f"too few examples in common: they were {how}")


def test_several_runs_are_ranked(filled: Service) -> None:
    runs = ("--run", "old", "--run", "new", "--run", "same", "--scorer", "Exact")
    shown = lines(run(filled, "compare", *runs, "--higher-is-better", ""))
    assert shown[1].split()[1] == "new"
    assert [line.split()[-1] for line in shown[1:4]] == ["1", "3", "3"]
    assert shown[-1].startswith("By Exact, new comes first (rank 1 of 3)")


def test_a_summary_has_a_row_for_each_kind_of_each_leaf(filled: Service) -> None:
    shown = lines(run(filled, "summary", "--run", "new"))
    assert shown[0].split() == [
        *("scorer_name", "leaf", "kind", "attempted", "scored", "coverage"),
        *("figure", "value", "low", "high"),
    ]
    (exact,) = [line.split("  ") for line in shown if line.startswith("Exact")]
    exact = [cell.strip() for cell in exact if cell]
    assert exact[1:] == ["boolean", "40", "40", "1", "rate", "95 %", "83.5 %", "98.62 %"]
    (label,) = [line.split() for line in shown if line.startswith("label")]
    assert " ".join(label[1:]) == "text 40 40 1 texts yes 95 %, no 5 % - -"
    (number,) = [line.split() for line in shown if line.startswith("=cmd|x")]
    assert number[5:7] == ["mean", "0.4875"]
    assert "A rate is the share" in shown[-1]


def test_a_summary_in_csv_has_plain_numbers(filled: Service) -> None:
    shown = lines(run(filled, "summary", "--run", "new", "--scorer", "Exact", "--csv"))
    (row,) = csv.DictReader(io.StringIO("\n".join(shown)))
    assert (row["figure"], row["value"], row["low"]) == ("rate", "0.95", "0.834961")


def test_a_summary_says_which_numbers_are_a_rate(service: Service) -> None:
    scores = [{"prediction_id": f"p{n}", "scorer": "s", "value": n % 2} for n in range(10)]
    service.post("/v2/acme/rates/scores/batch", {"scores": scores})
    env = environment(SCORELINE_URL=service.url, SCORELINE_KEY=ADMIN_KEY)
    arguments = ("summary", "--project", "acme/rates")
    done = run_command(*arguments, cwd=service.log.parent, env=env)
    assert "number  10         10      1         rate    50 %" in lines(done)[1]


def test_a_run_of_a_summary_or_an_agreement_is_an_id_a_name_or_a_word(service: Service) -> None:
    project = "acme/named"
    env = environment(SCORELINE_URL=service.url, SCORELINE_KEY=ADMIN_KEY)

    def asked(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        given = (*name.split(), "--project", project, *arguments)
        return run_command(*given, cwd=service.log.parent, env=env)

    for place, name in enumerate(("one", "two")):
        options = ("--evaluation", "e", "--model", "m", "--name", name, f"r{place}")
        created = asked("runs create", *options)
        assert created.returncode == 0, created.stderr
        scores = [
            {"prediction_id": f"p{n}", "scorer": scorer, "value": n < 10 + place}
            for n in range(20)
            for scorer in ("Judge", "Human")
        ]
        scores = [{**each, "evaluation_run_id": f"r{place}"} for each in scores]
        assert service.post(f"/v2/{project}/scores/batch", {"scores": scores}).status == 200
    assert asked("runs approve", "--reason", "released", "r0").returncode == 0
    for given, found in (("r0", "r0"), ("two", "r1"), ("approved", "r0"), ("id:r1", "r1")):
        answer = json.loads(asked("summary", "--run", given, "--json").stdout)
        assert answer["run"] == found
        assert {group["boolean"]["n"] for group in answer["groups"]} == {20}
        judges = ("--first", "Judge", "--second", "Human", "--run", given)
        assert json.loads(asked("agreement", *judges, "--json").stdout)["runs"] == [found]
    near = asked("summary", "--run", "tow")
    assert near.returncode == 1
    assert "No evaluation run has the id or the name 'tow'; there is 'two'" in near.stderr


def test_histograms_are_in_the_json_only(filled: Service) -> None:
    for given in (("summary",), COMPARE):
        answer = run(filled, *given, "--scorer", "=cmd|x", "--histograms", "--json")
        assert '"histogram"' in answer.stdout
        done = run(filled, *given, "--histograms")
        assert (done.returncode, done.stderr) == (2, "scoreline: --histograms needs --json\n")


def test_a_summary_takes_a_version_of_a_scorer_and_a_cluster(filled: Service) -> None:
    version = f"weave:///{PROJECT}/object/Exact:v0"
    done = run(filled, "summary", "--scorer", version)
    assert done.returncode == 1
    answer = json.loads(run(filled, "summary", "--cluster", "none", "--json").stdout)
    assert answer["cluster"] == "none"
    given = ("--prediction", "p0", "--run", "new", "--scorer", "Exact", "--json")
    (group,) = json.loads(run(filled, "summary", *given).stdout)["groups"]
    assert group["scored"] == 1


QUESTIONS: list[tuple[str, type[Query]]] = [
    ("summary", SummaryQuery),
    ("compare", CompareQuery),
    ("trend", TrendQuery),
    ("agreement", AgreementQuery),
    ("gate", GateQuery),
]
OTHERWISE = {"summary": {"scorer_name": "--scorer", "evaluation_run_id": "--run"}}
"""Parameters that an option of another name gives."""


@pytest.mark.parametrize(("name", "schema"), QUESTIONS)
def test_every_parameter_has_an_option(name: str, schema: type[Query]) -> None:
    command = scoreline.get_command(click.Context(scoreline), name)
    assert command is not None
    options = {option for parameter in command.params for option in parameter.opts}
    named = OTHERWISE.get(name, {})
    wanted = {each: named.get(each, f"--{each.replace('_', '-')}") for each in schema().fields}
    wanted |= {"prediction_id": "--prediction"} if "prediction_id" in wanted else {}
    assert {each for each, option in wanted.items() if option not in options} == set()


TREND = ("trend", "--scorer", "Exact")


def test_a_trend_is_a_table_and_what_is_shown_of_the_newest_run(filled: Service) -> None:
    shown = lines(run(filled, *TREND))
    assert shown[0].split() == [
        *("run", "started_at", "attempted", "scored", "coverage", "mean", "low", "high")
    ]
    assert [line.split()[0] for line in shown[1:4]] == ["old", "new", "same"]
    assert [line.split()[5] for line in shown[1:4]] == ["0.5", "0.95", "0.5"]
    assert shown[5] == (
        "By Exact, same is lower than new, the run before, "
        "and is not shown to differ from old, the first of these 3 runs."
    )
    assert shown[6].startswith("same against new: Exact fell from 95 % to 50 % (-45 points")


def test_a_trend_is_markdown_csv_and_json_too(filled: Service) -> None:
    shown = lines(run(filled, *TREND, "--markdown", "--limit", "2"))
    assert shown[0].startswith("| run | started_at |")
    assert shown[-2].startswith("- By Exact, same is lower than new")
    rows = list(csv.DictReader(io.StringIO("\n".join(lines(run(filled, *TREND, "--csv"))))))
    assert [row["mean"] for row in rows] == ["0.5", "0.95", "0.5"]
    answer = json.loads(run(filled, *TREND, "--json", "--name", "new").stdout)
    assert [each["run"] for each in answer["runs"]] == ["new"]


def test_intervals_are_drawn_on_one_scale() -> None:
    runs: list[dict[str, Any]] = [
        {"mean": 0.0, "interval": {"low": -1.0, "high": 1.0}},
        {"mean": None, "interval": None},
        {"mean": 3.0, "interval": None},
        {"mean": 2.0, "interval": {"low": 1.0, "high": 3.0}},
    ]
    assert [line.replace(" ", ".") for line in draw(runs)] == [
        "|-----*-----|",
        "",
        ".......................*",
        "............|----*-----|",
    ]
    largest = 1.7e308
    (line,) = draw([{"mean": 0.0, "interval": {"low": -largest, "high": largest}}])
    assert (line[0], len(line), line[-1]) == ("|", 24, "|")
    assert draw([{"mean": 1.0, "interval": None}]) == ["*"]


AGREEMENT = ("agreement", "--first", "Exact", "--second", "label", "--run", "old")


def test_agreement_is_figures_a_table_disagreements_and_a_sentence(filled: Service) -> None:
    items = [
        {
            "prediction_id": f"p{place}",
            "scorer": "Human",
            "value": place < 15,
            "evaluation_run_id": "old",
        }
        for place in range(40)
    ]
    answer = filled.post(f"/v2/{PROJECT}/scores/batch", {"scores": items})
    assert answer.status == 200, answer.body
    judges = ("agreement", "--first", "Exact", "--second", "Human", "--worst", "2")
    shown = lines(run(filled, *judges))
    assert shown[0].split() == ["figure", "value", "low", "high", "why"]
    assert [line.split()[:2] for line in shown[1:3]] == [["agreement", "0.875"], ["kappa", "0.75"]]
    assert [line.split() for line in shown[8:10]] == [["false", "20", "0"], ["true", "5", "15"]]
    assert [line.split()[:3] for line in shown[12:14]] == [
        ["p15", "true", "false"],
        ["p16", "true", "false"],
    ]
    assert shown[-1].startswith(
        "Exact and Human give the same value to 87.5 % of 40 predictions; by chance it "
        "would be 50 %"
    )
    rows = list(csv.DictReader(io.StringIO("\n".join(lines(run(filled, *judges, "--csv"))))))
    assert [row["figure"] for row in rows] == [
        *("agreement", "kappa", "weighted_kappa", "alpha", "spearman")
    ]
    assert lines(run(filled, *judges, "--markdown"))[0] == "| figure | value | low | high | why |"
    assert json.loads(run(filled, *judges, "--json").stdout)["kind"] == "boolean"


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        (["summary", "--run", "none"], 1, "or the name 'none'"),
        (["summary", "--group-by", "colour"], 1, "group_by"),
        (["compare", "--baseline", "old"], 2, "give --baseline and --candidate, or --run"),
        (["compare"], 2, "give --baseline and --candidate, or --run"),
        (["compare", "--run", "old", "--run", "new", "--scorer", "label"], 1, "nothing to rank"),
        ([*COMPARE, "--leaf", "", "--scorer", "parts"], 1, "nothing to compare"),
        (["summary", "--scorer", "scoreline.usage"], 1, "compare, trend and gate read it from"),
        (["compare", "--baseline", "old", "--candidate", "none"], 1, "or the name 'none'"),
        ([*COMPARE, "--leaf", "f1"], 1, "has the leaf 'f1'"),
        ([*COMPARE, "--run", "old"], 1, "baseline"),
        (["trend"], 2, "--scorer"),
        (AGREEMENT, 1, "declare which values are true"),
        ([*AGREEMENT, "--leaf", "f1"], 1, "has the leaf 'f1'"),
        ([*AGREEMENT, "--first-annotator", "bob"], 1, "the annotator 'bob'"),
        (["agreement", "--first", "Exact"], 2, "--second"),
        (["agreement", "--first", "Exact", "--second", "Exact"], 1, "two different judges"),
        (["trend", "--scorer", "exact"], 1, "no score is by the scorer 'exact'; there is 'Exact'"),
        ([*TREND, "--leaf", "f1"], 1, "has the leaf 'f1'"),
        ([*TREND, "--limit", "201"], 1, "limit"),
        ([*COMPARE, "--csv", "--json"], 2, "give only one of --json and --csv"),
        ([*COMPARE, "--effect", "much"], 2, "--effect"),
    ],
)
def test_a_wrong_question_says_why(
    filled: Service, arguments: Sequence[str], code: int, why: str
) -> None:
    done = run(filled, *arguments)
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert why in done.stderr


def test_a_key_that_may_not_read_exits_with_code_1(filled: Service) -> None:
    done = run(filled, *COMPARE, key="sl_nobody")
    assert (done.returncode, done.stdout) == (1, "")
    assert "401" in done.stderr


def test_a_comparison_lists_the_examples_that_changed_most_on_request(filled: Service) -> None:
    arguments = (*COMPARE, "--higher-is-better", "", "--scorer", "Exact")
    assert "prediction_id" not in run(filled, *arguments).stdout
    header, *rows = [line.split() for line in lines(run(filled, *arguments, "--worst", "2"))[-3:]]
    assert header[:5] == ["scorer", "leaf", "change", "baseline_value", "candidate_value"]
    assert [row[:6] for row in rows] == [
        ["Exact", "better", "false", "true", f"p{place}", f"p{place}"] for place in (20, 21)
    ]
    back = ("compare", "--baseline", "new", "--candidate", "old", "--scorer", "Exact")
    (fell,) = lines(run(filled, *back, "--worst", "1"))[-1:]
    assert fell.split()[1:4] == ["lower", "true", "false"]
    score = filled.send("GET", f"/v2/{PROJECT}/scores/{fell.split()[-1]}").json
    assert (score["prediction_id"], score["evaluation_run_id"]) == (fell.split()[-2], "old")


def test_a_comparison_says_how_many_examples_an_effect_needs(filled: Service) -> None:
    arguments = ("compare", "--baseline", "old", "--candidate", "same", "--scorer", "=cmd|x")
    shown = lines(run(filled, *COMPARE, "--scorer", "Exact", "--effect", "0.1"))[-1]
    (comparison,) = json.loads(
        run(filled, *COMPARE, "--scorer", "Exact", "--effect", "0.1", "--json").stdout
    )["comparisons"]
    needed = comparison["difference"]["pairs_needed"]
    assert shown == (
        f"Some {needed:,} examples show with a probability of 80 % that Exact differs by 10 "
        "points; here are 40."
    )
    assert "probability of" not in run(filled, *arguments).stdout
