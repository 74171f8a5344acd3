"""The names of scorers."""

from __future__ import annotations

import pytest

from app.scorers import scorer_name


@pytest.mark.parametrize(
    ("scorer", "name"),
    [
        ("weave:///acme/demo/object/acc:R0vn", "acc"),
        ("weave:///acme/demo/op/acc:v0", "acc"),
        ("weave:///acme/demo/op/Exact.score:v0", "Exact"),
        ("weave:///acme/demo/op/a.score.score:v0", "a.score"),
        ("weave:///acme/demo/op/.score:v0", ".score"),
        ("weave:///acme/demo/op/Exact.summarize:v0", "Exact.summarize"),
        ("weave:///acme/demo/object/Exact.score:v0", "Exact.score"),
        ("weave:///acme/demo/object/a%20b%2Fc%3Ad:v0", "a b/c:d"),
        ("weave:///acme/demo/object/acc", "weave:///acme/demo/object/acc"),
        ("weave:///acme/demo/call/acc:v0", "weave:///acme/demo/call/acc:v0"),
        ("weave:///acme/demo/object/a/b:v0", "weave:///acme/demo/object/a/b:v0"),
        ("acc:v0", "acc:v0"),
        ("", ""),
    ],
)
def test_a_scorers_name_is_in_its_reference(scorer: str, name: str) -> None:
    assert scorer_name(scorer) == name
