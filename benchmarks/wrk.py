"""Send load with wrk, which leaves most of the processor to the service that it measures."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.processes import ADMIN_KEY

MISSING = "wrk is not on PATH; install it (Debian, Ubuntu: apt install wrk; macOS: brew)"
SCRIPT = Path(__file__).parent / "cycle.lua"
SETTINGS = "wrk: one thread, keep-alive"
_REQUESTS = re.compile(r"(\d+) requests in")
_RATE = re.compile(r"Requests/sec:\s+([\d.]+)")


class BrokenLoad(Exception):
    """Not every request got a 2xx."""


@dataclass(frozen=True)
class Load:
    """The number of requests, and of requests per second."""

    requests: int
    rate: float


def is_missing() -> bool:
    """Return whether wrk is not on PATH."""
    return shutil.which("wrk") is None


def load(url: str, method: str, lines: Path, connections: int, seconds: int) -> Load:
    """Send the lines of a file (bodies of a POST, paths of a GET). Raises BrokenLoad."""
    command = ["wrk", "--threads", "1", "--connections", str(connections)]
    command += ["--duration", f"{seconds}s", "--timeout", "30s", "--script", str(SCRIPT)]
    command += ["--header", f"Authorization: Bearer {ADMIN_KEY}"]
    command += ["--header", "Content-Type: application/json", url, "--", method, str(lines)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return read(done.stdout + done.stderr)


def read(report: str) -> Load:
    """Parse the report of wrk. Raises BrokenLoad."""
    requests, rate = _REQUESTS.search(report), _RATE.search(report)
    broken = "Non-2xx" in report or "Socket errors" in report
    if broken or not requests or not rate or requests[1] == "0":
        raise BrokenLoad(f"wrk says:\n{report}")
    return Load(int(requests[1]), float(rate[1]))
