"""/metrics: what is counted, for Prometheus. No identity needed, none shown."""

from flask import Response
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from ..metrics import exposition
from .blueprint import TEXT, Blueprint
from .current import services
from .health import running_version

blueprint = Blueprint("metrics", url_prefix="", description="What is counted", is_public=True)


@blueprint.get("/metrics")
@blueprint.response(200, TEXT, content_type="text/plain")
def read() -> Response:
    """What is counted, in Prometheus's text format"""
    active = services.activity.conversations()
    text = exposition(version=running_version(), active_conversations=active)
    return Response(text, content_type=CONTENT_TYPE_PLAIN_0_0_4)
