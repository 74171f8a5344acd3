"""Objects that the `weave` package, unchanged, published and reads back."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest

from tests.interop import client as official
from tests.processes import Service

if official.is_missing:
    pytest.skip(official.MISSING, allow_module_level=True)


def test_what_a_program_publishes_it_reads_back(any_service: Service, tmp_path: Path) -> None:
    found = official.read_back("reading_objects.py", any_service, f"acme/r{uuid4().hex}", tmp_path)
    missing = found.pop("missing")
    assert "missing" in missing
    assert found == {
        "rows": [{"q": number, "expected": 2 * number} for number in range(3)],
        "length": 3,
        "row": {"q": 1, "expected": 2},
        "latest": [
            *({"q": number, "expected": 2 * number} for number in range(3)),
            {"q": 4, "expected": 8},
        ],
        "changed": 4,
        "prompt": "Say hi",
        "messages": [{"role": "user", "content": "hi"}],
        "plain": {"a": [1, {"b": None}], "big": 2**70},
        "model": 3,
        "op": True,
        "scorers": 1,
        "tags": [["golden"], ["golden"]],
        "aliases": [["production"], ["latest", "production"]],
        "production": 3,
        "costs": [["m", 2.5], ["n", 2.0]],
        "of m": ["1998-10-03 00:00:00+00:00"],
        "cheap": 1,
        "summary": {"true_count": 3, "true_fraction": 1.0},
    }
