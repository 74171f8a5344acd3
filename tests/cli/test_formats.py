"""Texts in Markdown: nothing of them is markup, a link or a mention."""

from __future__ import annotations

import re

import pytest

from app.cli.formats import markdown, markdown_table, say

PLAIN = (
    *("-", "-0.45", "1e-05", "95 %", "1 to 3", "run-2", "Exact accuracy.f1", "scorer_name", ""),
    "The candidate is better: Exact rose from 50 % to 95 % (+45 points, 95 % interval +29 to +60).",
    *("2026-11-28T09:12:44.120Z", "(all)", "größer", "no difference shown"),
)
HOSTILE = (
    *(
        "*bold*",
        "_it_",
        "a_b_",
        "`code`",
        "``",
        "`",
        "<img src=x>",
        "&lt;",
        "# title",
        "!12",
        "~tag",
    ),
    *("@team", "#123", "o/r#1", "GH-12", "%5", "$x$", "^1", "[a](b)", "- list", "+ list", "/close"),
    *(
        "1. list",
        "2) list",
        "http://e.x",
        "WWW.e.x",
        "a@e.x",
        "```\n@team\n```",
        "a\r\n\r\n# b",
        ">",
    ),
    *("~tag", ">", "a|b", "a\\|b", "a\\\\|`b", "|", "`|`", "\\", "weave:///e/p/object/J:v0"),
)
CELL = re.compile(r"(?:\\.|[^|\\])+")
"""A cell of GitHub's Markdown: a backslash keeps a pipe from ending it."""
CODE = re.compile(r"(`+)( ?)(.+?)\2\1")


@pytest.mark.parametrize("text", PLAIN)
def test_a_plain_text_stays_as_it_is_in_markdown(text: str) -> None:
    assert markdown(text) == text


@pytest.mark.parametrize("text", HOSTILE)
def test_a_text_that_might_be_markup_is_code_in_markdown(text: str) -> None:
    code = CODE.fullmatch(markdown(text))
    assert code
    fence, _, content = code.groups()
    assert content == " ".join(text.split())
    assert fence not in re.findall("`+", content)


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_leaves_its_cell(text: str) -> None:
    line = markdown_table(["a", text, "b"], [["c", text, "d"]]).splitlines()
    assert len(line) == 3
    for row in (line[0], line[2]):
        cells = [cell.strip() for cell in CELL.findall(row)]
        assert (len(cells), cells[0], cells[2]) == (
            3,
            *(("a", "b") if row is line[0] else ("c", "d")),
        )
        assert CODE.fullmatch(cells[1])


def test_sentences_in_markdown_are_code_if_they_have_markup(
    capsys: pytest.CaptureFixture[str],
) -> None:
    say("markdown", "@team is better")
    say("markdown", "Exact is better", "green")
    say("table", "@team is better")
    assert capsys.readouterr().out.splitlines() == [
        "- `@team is better`",
        "- Exact is better",
        "@team is better",
    ]
