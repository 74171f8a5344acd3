"""The Procfile, run by honcho as on a hosting platform like Heroku."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.processes import ADMIN_KEY, ROOT, Service, environment, free_port, wait_until_listening

SCORE = {"prediction_id": "p", "scorer": "s", "value": 1}


def test_the_procfile_serves_on_port_with_web_concurrency_workers(tmp_path: Path) -> None:
    port = free_port()
    environ = environment(
        PORT=str(port),
        WEB_CONCURRENCY="3",
        SCORELINE_HOST="127.0.0.1",
        SCORELINE_ADMIN_KEY=ADMIN_KEY,
        SCORELINE_STORE=f"sqlite:///{tmp_path}/scoreline.db",
        PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    )
    log = tmp_path / "honcho.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "honcho", "start", "--no-prefix", "web"],
            cwd=ROOT,
            env=environ,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        wait_until_listening(port, process)
        service = Service(port, process, log)
        assert service.post("/v2/a/b/scores", SCORE).status == 200
        service.wait_for_log(
            "Booting worker with pid", times=3
        )  # The first may serve before the others have started.
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=40)
    assert log.read_text().count("Booting worker with pid") == 3
