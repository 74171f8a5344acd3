"""deploy/scoreline.service is accepted by systemd, and the service notifies it."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from config.settings import read_settings
from tests.processes import ROOT, environment, running

ANALYZE = shutil.which("systemd-analyze")
UNIT = (ROOT / "deploy" / "scoreline.service").read_text("utf-8")
MOST_EXPOSURE = 20
"""The exposure in tenths, of 100; systemd considers up to 2.0 well protected."""

needs_systemd = pytest.mark.skipif(
    ANALYZE is None, reason="systemd-analyze is not installed (apt-get install systemd)"
)


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit, with a program that exists."""
    program = "/opt/scoreline/bin/scoreline"
    assert program in UNIT
    file = tmp_path / "scoreline.service"
    file.write_text(UNIT.replace(program, sys.executable))
    return file


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ANALYZE or "", *arguments], check=False, capture_output=True, text=True, timeout=60
    )


@needs_systemd
def test_systemd_accepts_the_unit_without_warnings(unit: Path) -> None:
    verified = analyze("verify", "--man=no", str(unit))
    assert (verified.returncode, verified.stderr) == (0, "")


@needs_systemd
def test_the_unit_has_a_low_exposure(unit: Path) -> None:
    judged = analyze("security", "--offline=true", f"--threshold={MOST_EXPOSURE}", str(unit))
    if "unrecognized option" in judged.stderr:
        pytest.skip("this systemd-analyze judges no unit that is not loaded")
    assert judged.returncode == 0, judged.stdout


def test_the_settings_of_the_unit_are_valid() -> None:
    settings = dict(re.findall(r"^Environment=([A-Z_]+)=(.*)$", UNIT, re.MULTILINE))
    used = read_settings(settings)
    assert used.store.removeprefix("sqlite:///").startswith("/var/lib/scoreline/")
    assert used.admin_key_file.startswith("/var/lib/scoreline/")


def test_the_service_notifies_systemd_when_it_is_ready(tmp_path: Path) -> None:
    assert "Type=notify\n" in UNIT
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(30)
        with running(tmp_path, NOTIFY_SOCKET=str(tmp_path / "notify")):
            assert b"READY=1" in listener.recv(4096)


def test_a_wrong_setting_does_not_restart_the_service(tmp_path: Path) -> None:
    (code,) = re.findall(r"^RestartPreventExitStatus=(\d+)$", UNIT, re.MULTILINE)
    ended = subprocess.run(
        [sys.executable, "-m", "app.cli", "serve"],
        check=False,
        cwd=tmp_path,
        env=environment(SCORELINE_STORE="nonsense"),
        capture_output=True,
        timeout=60,
    )
    assert ended.returncode == int(code)
