"""`/docs`: Swagger UI for the API, served without any external resources."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from flask import Blueprint, Response, abort, send_from_directory

blueprint = Blueprint("docs", __name__)

ASSETS = frozenset({"swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png"})
"""The files of Swagger UI that the page uses; the package has others, which are not served."""

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
"""The script that starts Swagger UI, without its online validator and without storing the key.

Requests omit the browser's own credentials. Otherwise the browser would answer a 401 by opening its
password dialog, and the page would wait for it.
"""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The page's Content-Security-Policy: only its own origin, and no inline scripts."""


@blueprint.get("/docs")
def docs() -> Response:
    """Return the page. Its links are relative, so that it works under any URL prefix."""
    response = Response(PAGE, mimetype="text/html")
    response.headers["Content-Security-Policy"] = POLICY
    return response


@blueprint.get("/docs/start.js")
def docs_start() -> Response:
    """Return the script that starts Swagger UI; the policy allows no inline script."""
    return Response(START, mimetype="text/javascript")


@blueprint.get("/docs/<name>")
def docs_asset(name: str) -> Response:
    """Return one of Swagger UI's files from the installed package."""
    if name not in ASSETS:
        abort(404)
    directory = Path(str(resources.files("flask_swagger_ui"))) / "dist"
    return send_from_directory(directory, name, max_age=3600)
