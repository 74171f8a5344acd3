"""Set up OpenTelemetry traces if its standard variables ask for them.

Without them, OpenTelemetry is not imported.
"""

from __future__ import annotations

import logging
import os
from importlib.metadata import EntryPoint, entry_points, version
from typing import TYPE_CHECKING

from app.errors import ScorelineError

if TYPE_CHECKING:
    from flask import Flask
    from opentelemetry.trace import TracerProvider

log = logging.getLogger("scoreline.tracing")

EXPORTER = "OTEL_TRACES_EXPORTER"
ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
SANITIZE = "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SANITIZE_FIELDS"
NEVER_SHOWN = "authorization,proxy-authorization,cookie"

EXPORTERS = "opentelemetry_traces_exporter"
INSTRUMENTATIONS = "opentelemetry_instrumentor"
"""OpenTelemetry's groups of entry points."""


class TracingUnavailable(ScorelineError):
    """Traces are requested but a package is missing; the message says which."""


def check() -> None:
    """Check that the packages for the requested traces are installed.

    Raises TracingUnavailable if OTEL_TRACES_EXPORTER requests them. An endpoint alone may be meant
    for other programs, so a missing package is then only a warning in the log.
    """
    names = _exporters()
    try:
        if names:
            _find(INSTRUMENTATIONS, "flask")
        for name in names:
            _find(EXPORTERS, name)
    except TracingUnavailable as error:
        if os.environ.get(EXPORTER):
            raise
        log.warning("traces are off: %s", error)


def trace(app: Flask, engine: str) -> None:
    """Trace the requests of `app`, and the commands to MongoDB if that is the `engine`.

    Call it in the worker, because the exporting thread does not survive a fork, and before the
    store is opened, because only new MongoDB clients are traced.
    """
    names = _exporters()
    if not names or not entry_points(group=INSTRUMENTATIONS, name="flask"):
        return
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    defaults = {"service.name": "scoreline", "service.version": version("scoreline")}
    attributes = OTELResourceDetector().detect().attributes
    provider = TracerProvider(resource=Resource.create({**defaults, **attributes}))
    for name in names:
        provider.add_span_processor(BatchSpanProcessor(_find(EXPORTERS, name).load()()))
    instrument(app, engine, provider)


def instrument(app: Flask, engine: str, provider: TracerProvider) -> None:
    """Instrument `app`, and PyMongo for MongoDB, with OpenTelemetry's instrumentations."""
    # An operator may add request headers to traces; never show keys in them.
    os.environ[SANITIZE] = f"{os.environ.get(SANITIZE, '')},{NEVER_SHOWN}".strip(",")
    flask = _find(INSTRUMENTATIONS, "flask").load()
    flask().instrument_app(app, tracer_provider=provider)
    if engine == "mongodb":
        _find(INSTRUMENTATIONS, "pymongo").load()().instrument(tracer_provider=provider)


def _exporters() -> list[str]:
    """Return the exporters that the standard variables request; none means no traces."""
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return []
    default = "otlp" if any(os.environ.get(name) for name in ENDPOINTS) else "none"
    names = (os.environ.get(EXPORTER) or default).split(",")
    return [_by_protocol(name.strip()) for name in names if name.strip() not in ("", "none")]


def _by_protocol(name: str) -> str:
    """Return the exporter to use for `otlp`: over HTTP, unless gRPC is requested."""
    protocols = [os.environ[name] for name in PROTOCOLS if os.environ.get(name)]
    if name != "otlp":
        return name
    return "otlp_proto_grpc" if protocols[:1] == ["grpc"] else "otlp_proto_http"


def _find(group: str, name: str) -> EntryPoint:
    for found in entry_points(group=group, name=name):
        return found
    raise TracingUnavailable(
        f"the variables OTEL_* request traces, but {name!r} of {group} is not installed; "
        "for traces over OTLP/HTTP, run pip install 'scoreline[otel]'"
    )
