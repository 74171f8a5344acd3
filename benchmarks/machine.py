"""Describe the machine: its processor, memory, file systems and software."""

from __future__ import annotations

import os
import platform
import re
import sqlite3
from pathlib import Path

IN_MEMORY = ("tmpfs", "ramfs")


def machine() -> str:
    """Return processor, cores, memory, system, Python and SQLite."""
    model = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    processor = model[1].strip() if model else platform.machine()
    return (
        f"{len(os.sched_getaffinity(0))} cores ({processor}), {memory:.0f} GiB, "
        f"{platform.system()} {platform.release()}, Python {platform.python_version()}, "
        f"SQLite {sqlite3.sqlite_version}"
    )


def filesystem(path: Path) -> str:
    """Return the type of the file system that `path` is on."""
    path = path.resolve()
    found = Path("/"), "unknown"
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, mounted, kind, *_ = line.split()
        mount = Path(mounted.replace("\\040", " "))
        if path.is_relative_to(mount) and len(mount.parts) >= len(found[0].parts):
            found = mount, kind
    return found[1]


def resident_megabytes(process: int) -> float:
    """Return the resident memory of a process in MiB, including shared memory."""
    return _megabytes(str(process), "VmRSS")


def peak_megabytes() -> float:
    """Return the most memory that was resident in this process, as `resident_megabytes` does.

    The `ru_maxrss` of `getrusage` would begin with that of the process that started this one.
    """
    return _megabytes("self", "VmHWM")


def _megabytes(process: str, name: str) -> float:
    status = Path(f"/proc/{process}/status").read_text()
    kilobytes = re.search(rf"{name}:\s+(\d+) kB", status)
    assert kilobytes, status
    return int(kilobytes[1]) / 1024
