"""Bearer JWT → `g.parley_identity`, before any guarded view. `g.identity` is a host's own."""

from flask import current_app, g, request

from ..errors import IdentityError
from ..services import Services


def require_identity() -> None:
    """Raises IdentityError unless the request proves who asks."""
    services: Services = current_app.extensions["parley"].services
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise IdentityError
    g.parley_identity = services.tokens.verify(token.strip())
    services.users.see(g.parley_identity)
