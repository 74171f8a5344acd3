"""`/docs`: the API to read and to try out, by Swagger UI, which loads nothing from outside."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from flask import Blueprint, Response, abort, send_from_directory

blueprint = Blueprint("docs", __name__)

ASSETS = frozenset({"swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png"})
"""What is served of Swagger UI's files; the package holds others that the page does not use."""

PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Scoreline</title>
<link rel="icon" type="image/png" href="docs/favicon-32x32.png">
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<div id="docs"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""

START = """\
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#docs",
  validatorUrl: null,
  deepLinking: true,
  persistAuthorization: false,
  requestInterceptor: (request) => Object.assign(request, {credentials: "omit"}),
});
"""
"""No online validator is asked, and a key is forgotten when the page is left.

Only the page's own key is sent: where a browser may add what it knows, it answers a 401 by asking
the person for a password in a window of its own, and the page waits for that.
"""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The page's Content-Security-Policy: itself and no other place, no script within the page."""


@blueprint.get("/docs")
def docs() -> Response:
    """Show the page; its addresses are relative, so that any prefix may stand before them."""
    response = Response(PAGE, mimetype="text/html")
    response.headers["Content-Security-Policy"] = POLICY
    return response


@blueprint.get("/docs/start.js")
def docs_start() -> Response:
    """Start Swagger UI: a file, because the policy allows no script within the page."""
    return Response(START, mimetype="text/javascript")


@blueprint.get("/docs/<name>")
def docs_asset(name: str) -> Response:
    """One of Swagger UI's files, as the installed package holds it."""
    if name not in ASSETS:
        abort(404)
    directory = Path(str(resources.files("flask_swagger_ui"))) / "dist"
    return send_from_directory(directory, name, max_age=3600)
