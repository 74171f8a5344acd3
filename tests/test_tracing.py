"""Traces: what they contain, what they never contain, and when there are none."""

from __future__ import annotations

import base64
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from app import tracing
from tests.processes import ADMIN_KEY, command, environment, free_port, running

SCORE = {"prediction_id": "p", "scorer": "s", "value": 1}
PATH = "/v2/acme/demo/scores"
BASIC = base64.b64encode(f"api:{ADMIN_KEY}".encode()).decode()


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove OpenTelemetry's variables and restore its state after the test."""
    for name in list(os.environ):
        if name.startswith("OTEL_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv(tracing.SANITIZE, "")


def test_a_request_is_a_span_without_the_key(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = dict(app.test_client().post(PATH, json=SCORE).headers)
    # Even where an operator wants every header there is.
    monkeypatch.setenv("OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST", ".*")
    spans = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    app._got_first_request = False
    tracing.instrument(app, "sqlite", provider)
    client = app.test_client()
    for sent in (f"Bearer {ADMIN_KEY}", f"Basic {BASIC}", "Bearer sl_wrong"):
        client.post(PATH, json=SCORE, headers={"Authorization": sent, "X-Team": "blue"})
    created, basic, refused = spans.get_finished_spans()
    assert created.name == basic.name == "POST /v2/<entity>/<project>/scores"
    statuses = [dict(each.attributes or {})["http.status_code"] for each in (created, refused)]
    assert statuses == [200, 401]
    text = " ".join(each.to_json() for each in (created, basic, refused))
    assert "blue" in text
    assert not [secret for secret in (ADMIN_KEY, BASIC, "sl_wrong") if secret in text]
    traced = dict(client.post(PATH, json=SCORE).headers)
    assert traced.keys() == plain.keys()


class Collector(ThreadingHTTPServer):
    """A server that accepts traces over OTLP/HTTP, and stores their spans."""

    def __init__(self) -> None:
        self.services: set[str] = set()
        self.names: set[str] = set()
        self.text = ""
        self.arrived = threading.Condition()
        super().__init__(("127.0.0.1", 0), _Taking)

    def take(self, body: bytes) -> None:
        request = ExportTraceServiceRequest.FromString(body)
        with self.arrived:
            for resource in request.resource_spans:
                for pair in resource.resource.attributes:
                    if pair.key == "service.name":
                        self.services.add(pair.value.string_value)
                for scope in resource.scope_spans:
                    self.names |= {span.name for span in scope.spans}
            self.text += str(request)
            self.arrived.notify_all()


class _Taking(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        self.server.take(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200 if self.path == "/v1/traces" else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("engine", ["sqlite", "mongodb"])
def test_the_standard_variables_send_the_traces_of_every_worker(
    request: pytest.FixtureRequest, tmp_path: Path, collector: Collector, engine: str
) -> None:
    store = request.getfixturevalue("mongodb_uri") if engine == "mongodb" else ""
    variables = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.server_address[1]}",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment=tests",
        "OTEL_BSP_SCHEDULE_DELAY": "50",
    }
    wanted = {"POST /v2/<entity>/<project>/scores", "GET /health/ready"}
    if engine == "mongodb":
        wanted.add(f"{store.partition('?')[0].rpartition('/')[2]}.insert")
    with running(tmp_path, store, **variables) as service:
        assert service.post(PATH, SCORE).status == 200
        assert service.send("GET", "/health/ready", key=None).status == 200
        with collector.arrived:
            assert collector.arrived.wait_for(lambda: wanted <= collector.names, timeout=30), (
                collector.names
            )
    assert collector.services == {"scoreline"}
    assert "deployment.environment" in collector.text
    assert ADMIN_KEY not in collector.text


def imported(*statements: str, **variables: str) -> list[str]:
    """Return the modules of OpenTelemetry that a process has imported after these statements."""
    program = (
        "import sys, json, app;"
        + ";".join(statements)
        + ";print(json.dumps([m for m in sys.modules if m.startswith('opentelemetry')]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        env=environment(**variables),
        capture_output=True,
        text=True,
    )
    found: list[str] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"OTEL_SERVICE_NAME": "x"},
        {"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
        {"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
    ],
)
def test_opentelemetry_is_not_imported_without_its_variables(
    tmp_path: Path, variables: dict[str, str]
) -> None:
    settings = {"SCORELINE_STORE": f"sqlite:///{tmp_path}/x.db", **variables}
    assert imported("app.create_app()", **settings) == []


def test_tracing_that_is_configured_but_not_installed_ends_the_start(tmp_path: Path) -> None:
    ended = subprocess.run(
        command("serve"),
        check=False,
        cwd=tmp_path,
        env=environment(PORT=str(free_port()), OTEL_TRACES_EXPORTER="zipkin"),
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert line.startswith("scoreline: the variables OTEL_* request traces, but 'zipkin'")
    assert "pip install 'scoreline[otel]'" in line
    assert list(tmp_path.iterdir()) == []


def test_without_the_extra_an_exporter_is_refused_and_an_endpoint_logs_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tracing, "entry_points", lambda **_: ())
    tracing.check()
    assert not caplog.records
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
    with caplog.at_level(logging.WARNING):
        tracing.check()
    assert "traces are off" in caplog.text
    untouched = Flask("untouched")
    wsgi_app = untouched.wsgi_app
    tracing.trace(untouched, "sqlite")
    assert untouched.wsgi_app == wsgi_app
    for asked in ("otlp", "console", "otlp_proto_http,console"):
        monkeypatch.setenv("OTEL_TRACES_EXPORTER", asked)
        with pytest.raises(tracing.TracingUnavailable, match="pip install"):
            tracing.check()


@pytest.mark.parametrize(
    ("variables", "names"),
    [
        ({"OTEL_TRACES_EXPORTER": "otlp"}, ["otlp_proto_http"]),
        ({"OTEL_TRACES_EXPORTER": "otlp, console"}, ["otlp_proto_http", "console"]),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://h"}, ["otlp_proto_http"]),
        (
            {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            ["otlp_proto_grpc"],
        ),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_SDK_DISABLED": "TRUE"}, []),
        ({"OTEL_TRACES_EXPORTER": "none"}, []),
    ],
)
def test_the_standard_variables_choose_the_exporter(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], names: list[str]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert tracing._exporters() == names
