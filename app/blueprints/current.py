"""What a view needs of its request: the services, and who asks."""

from typing import cast

from flask import current_app, g
from werkzeug.local import LocalProxy

from ..services import Services
from ..services.identity import Identity

services = cast(Services, LocalProxy(lambda: current_app.extensions["parley"].services))


def identity() -> Identity:
    """Who asks."""
    return cast(Identity, g.parley_identity)


def owner() -> str:
    """Whose rows this request may see and change."""
    return identity().user_email
