"""Bearer tokens (RFC 7519, HS256): who is asking, or IdentityError without a reason.

The key is chosen by configuration; `kid` only looks one up by its exact name, and no other
header field is followed.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import jwt

from ..addresses import canonical_email
from ..clock import now
from ..errors import IdentityError, InvalidAddressError
from .identity import Identity

ALGORITHM = "HS256"
MAX_TOKEN_BYTES = 8192
MAX_LIFETIME = timedelta(hours=24)
LEEWAY = timedelta(seconds=30)
_REQUIRED = ["exp", "iat", "aud", "iss", "email"]
_MAX_CLAIM_LENGTH = 1024


class TokenService:
    def __init__(self, secrets: Mapping[str, str], *, issuer: str, audience: str) -> None:
        """`secrets` by key id; the one under '' serves tokens that name no key."""
        self._secrets = secrets
        self._issuer = issuer
        self._audience = audience

    def verify(self, token: str) -> Identity:
        """The identity that a token proves. Raises IdentityError, whatever is wrong with it."""
        if len(token) > MAX_TOKEN_BYTES:
            raise IdentityError
        claims = self._claims(token)
        if claims["exp"] - claims["iat"] > MAX_LIFETIME.total_seconds():
            raise IdentityError
        try:
            email = canonical_email(claims["email"])
        except InvalidAddressError:
            raise IdentityError from None
        texts = {name: _text(claims.get(name)) for name in ("name", "dept", "sid")}
        return Identity(user_email=email, **texts)

    def issue(self, email: str, *, lifetime: timedelta, **claims: str) -> str:
        """A token for an address. Raises InvalidAddressError."""
        issued_at = now()
        payload: dict[str, Any] = {
            **claims,
            "email": canonical_email(email),
            "iss": self._issuer,
            "aud": self._audience,
            "iat": issued_at,
            "exp": issued_at + min(lifetime, MAX_LIFETIME),
        }
        key_id, secret = next(iter(self._secrets.items()))
        return jwt.encode(payload, secret, ALGORITHM, headers={"kid": key_id} if key_id else None)

    def _claims(self, token: str) -> dict[str, Any]:
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                self._secret_for(token),
                algorithms=[ALGORITHM],
                audience=self._audience,
                issuer=self._issuer,
                leeway=LEEWAY,
                options={"require": _REQUIRED, "strict_aud": True},
            )
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError, OverflowError):
            raise IdentityError from None
        if any(type(claims[name]) not in (int, float) for name in ("exp", "iat")):
            raise IdentityError
        return claims

    def _secret_for(self, token: str) -> str:
        header = jwt.get_unverified_header(token)
        if header.get("typ", "JWT") != "JWT" or "crit" in header or "zip" in header:
            raise IdentityError
        key_id = header.get("kid", "")
        if not isinstance(key_id, str):
            raise IdentityError
        secret = self._secrets.get(key_id)
        if secret is None:
            raise IdentityError
        return secret


def _text(claim: object) -> str | None:
    """An optional claim: text without control characters, or nothing at all."""
    if claim is None:
        return None
    if not isinstance(claim, str) or len(claim) > _MAX_CLAIM_LENGTH or not claim.isprintable():
        raise IdentityError
    return claim
