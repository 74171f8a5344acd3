"""Any bytes are parsed as FastAPI parses them, or rejected with an error of Scoreline."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.attack import reading
from tests.test_jsontext import any_json

pytestmark = pytest.mark.attack

texts = any_json.map(json.dumps).map(str.encode)
noise = st.binary(max_size=20)


@pytest.mark.parametrize("path", sorted(reading.CORPUS.iterdir()), ids=lambda path: path.name)
def test_the_corpus_is_parsed_or_rejected(path: Path) -> None:
    reading.check(path.read_bytes())


@given(st.binary() | texts)
def test_any_bytes_are_parsed_or_rejected(data: bytes) -> None:
    reading.check(data)


@given(texts, noise, st.data())
def test_damaged_json_is_parsed_or_rejected(data: bytes, part: bytes, draw: st.DataObject) -> None:
    start = draw.draw(st.integers(0, len(data)))
    end = draw.draw(st.integers(start, len(data)))
    reading.check(data[:start] + part + data[end:])
