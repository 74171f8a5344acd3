"""Fuzz the parsing of JSON with atheris; `make fuzz` runs it for a minute.

An input that fails `reading.check` is written to a file `crash-…`; add it to the corpus.
"""

from __future__ import annotations

import sys
import tempfile

import atheris

with atheris.instrument_imports(include=["app"]):
    from tests.attack import reading


def main() -> None:
    """Run atheris on the corpus, with libFuzzer's options from the command line."""
    with tempfile.TemporaryDirectory() as grown:
        # New inputs are written to the first directory, so that the corpus does not change.
        atheris.Setup([*sys.argv, grown, str(reading.CORPUS)], reading.check)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
