"""JUnit's XML, which every CI shows: one suite of test cases."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree as ET

_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 has no way to write (section 2.2)."""


@dataclass(frozen=True)
class Case:
    """One test case: what it is about, its name, and what went wrong, if anything."""

    about: str
    name: str
    outcome: Literal["passed", "failure", "error"] = "passed"
    message: str = ""


def write_junit(file: Path, suite: str, cases: Sequence[Case]) -> None:
    """Write a file of one suite. Raises OSError."""
    outcomes = Counter(case.outcome for case in cases)
    counts = {
        "tests": str(len(cases)),
        "failures": str(outcomes["failure"]),
        "errors": str(outcomes["error"]),
    }
    root = ET.Element("testsuites", counts)
    of_suite = ET.SubElement(root, "testsuite", {"name": suite, **counts})
    for case in cases:
        attributes = {"classname": _safe(case.about), "name": _safe(case.name)}
        element = ET.SubElement(of_suite, "testcase", attributes)
        if case.outcome != "passed":
            ET.SubElement(element, case.outcome, {"message": _safe(case.message)})
    file.write_bytes(ET.tostring(root, "utf-8", xml_declaration=True) + b"\n")


def _safe(text: str) -> str:
    return _NO_XML.sub("\ufffd", text)
