"""/openapi.json and /docs: the API's own description, browsable without any other host."""

from importlib.util import find_spec
from pathlib import Path

from flask import Response, current_app, send_from_directory
from werkzeug.exceptions import NotFound

from .blueprint import Blueprint, json_response

blueprint = Blueprint("parley_docs", url_prefix="", description="This description", is_public=True)

_ASSETS = {"swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png"}
_START = """SwaggerUIBundle({
  url: "openapi.json", dom_id: "#docs", deepLinking: true, persistAuthorization: false,
});
"""
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
@blueprint.response(200)
def read() -> Response:
    """The API as OpenAPI 3.1"""
    return json_response(current_app.extensions["parley"].openapi())


@blueprint.get("/docs")
@blueprint.response(200, content_type="text/html")
def read_page() -> Response:
    """The API to read and to try"""
    return Response(_PAGE, content_type="text/html; charset=utf-8")


@blueprint.get("/docs/<asset>")
@blueprint.response(200)
def read_asset(asset: str) -> Response:
    """A file of the page above"""
    if asset == "start.js":
        return Response(_START, content_type="text/javascript; charset=utf-8")
    if asset not in _ASSETS:
        raise NotFound
    return send_from_directory(_assets_folder(), asset, max_age=86400)


def _assets_folder() -> Path:
    spec = find_spec("swagger_ui")
    if spec is None or spec.origin is None:
        raise NotFound
    return Path(spec.origin).with_name("static")
