"""Bearer JWT → `g.parley_identity`, before any guarded view. `g.identity` is a host's own."""

from flask import current_app, g

from ..errors import IdentityError
from ..services import Services
from .requests import current_request


def require_identity() -> None:
    """Raises IdentityError unless the request proves who asks."""
    services: Services = current_app.extensions["parley"].services
    given: str = current_request().environ.get("HTTP_AUTHORIZATION", "")
    scheme, _, token = given.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise IdentityError
    identity = services.tokens.verify(token.strip())
    services.users.see(identity)
    g.parley_identity = identity
