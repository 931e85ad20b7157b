"""/openapi.json and /docs: the API's own description, browsable without any other host."""

from importlib.util import find_spec
from pathlib import Path

from flask import Response, current_app, send_from_directory, url_for
from werkzeug.exceptions import NotFound

from .blueprint import TEXT, Blueprint, json_response

blueprint = Blueprint(
    "docs",
    url_prefix="",
    description="This description",
    is_public=True,
    parameters={"asset": "The file's name, as the page has it."},
)

_TYPES = {
    "start.js": "text/javascript",
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon-32x32.png": "image/png",
}
_DAY = 86_400  # seconds
_START = """SwaggerUIBundle({
  url: "openapi.json", dom_id: "#docs", deepLinking: true, persistAuthorization: false,
});
"""
# Swagger UI styles its parts in place and keeps its icons in data: URLs.
_ITSELF_ONLY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Parley API</title>
<link rel="icon" href="docs/favicon-32x32.png">
<link rel="stylesheet" href="docs/swagger-ui.css">
<div id="docs"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</html>
"""


@blueprint.get("/openapi.json")
@blueprint.response(200, {"type": "object"})
def read() -> Response:
    """The API as OpenAPI 3.1"""
    server = url_for(".read").removesuffix("/openapi.json") or "/"
    return json_response(current_app.extensions["parley"].openapi(server))


@blueprint.get("/docs")
@blueprint.response(200, TEXT, content_type="text/html")
def read_page() -> Response:
    """The API to read and to try"""
    headers = {"Content-Security-Policy": _ITSELF_ONLY}
    return Response(_PAGE, headers=headers, content_type="text/html; charset=utf-8")


@blueprint.get("/docs/<asset>")
@blueprint.response(200, TEXT, content_type="text/javascript")
@blueprint.alt_response(200, schema=TEXT, content_type="text/css")
@blueprint.alt_response(200, schema={}, content_type="image/png")
def read_asset(asset: str) -> Response:
    """A file of the page above"""
    if asset == "start.js":
        return Response(_START, content_type="text/javascript; charset=utf-8")
    if asset not in _TYPES:
        raise NotFound
    return send_from_directory(
        _assets_folder(), asset, mimetype=_TYPES[asset], max_age=_DAY, conditional=False
    )


def _assets_folder() -> Path:
    spec = find_spec("swagger_ui")
    if spec is None or spec.origin is None:
        raise NotFound
    return Path(spec.origin).with_name("static")
