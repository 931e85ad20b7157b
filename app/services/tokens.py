"""Bearer tokens (RFC 7519): who is asking, or IdentityError without a reason.

The issuer that a token names is looked up by its exact name; its algorithms and keys are chosen by
configuration. `kid` only looks one up, and no other header field is followed. Beyond RFC 8725:
`exp, iat, aud, iss` are required, `aud` is one text, a token lives 24 hours at most.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import jwt

from ..addresses import canonical_email, visitor_owner
from ..auth_settings import SHARED_SECRET, AuthSettings
from ..clock import now
from ..errors import IdentityError, InvalidAddressError, SetupError
from ..ids import parse_id
from ..storable import is_printable
from .compact import Compact, read_compact
from .identity import Identity
from .jwks import ProviderKeys
from .keys import Keys, SharedSecrets
from .proofs import KeyChoice, Proof, Proofs

MAX_LIFETIME = timedelta(hours=24)
LEEWAY = timedelta(seconds=30)
USER, ANONYMOUS = "user", "anonymous"
_REQUIRED = ["exp", "iat", "aud", "iss"]
_TIMES = frozenset({"exp", "iat", "nbf"})
_REFUSED_HEADERS = frozenset({"crit", "zip", "enc", "b64"})
_MAX_CLAIM_LENGTH = 1024
_MAX_SUBJECT_LENGTH = 255  # as OpenID Connect has it


@dataclass(frozen=True, slots=True)
class Issuer:
    """One that is believed: the `aud` it must name, its keys, and the claims it must send."""

    audience: str
    keys: Keys
    required: Sequence[str]


class TokenService:
    def __init__(
        self,
        settings: AuthSettings,
        provider_keys: ProviderKeys | None = None,
        *,
        proofs: Proofs | None = None,
    ) -> None:
        """`provider_keys`: those of the settings' identity provider, if there is one."""
        self._settings = settings
        self._proofs = Proofs() if proofs is None else proofs
        self._issuers: dict[str, Issuer] = {}
        if settings.secrets:
            secrets = SharedSecrets(settings.secrets)
            self._issuers[settings.issuer] = Issuer(settings.audience, secrets, _REQUIRED)
        if settings.provider and provider_keys:
            # At some providers people may name any address that they like.
            needed = [*_REQUIRED, "sub", "email_verified"]
            provider = Issuer(settings.provider.audience, provider_keys, needed)
            self._issuers[settings.provider.issuer] = provider

    def verify(self, token: str) -> Identity:
        """The identity that a token proves. Raises IdentityError, whatever is wrong with it.

        One that was proved here before is looked up, while its key stands and its time lasts.
        """
        known = self._proofs.find(token)
        if known is not None:
            return known
        claims, choice = self._checked(token)
        identity = self._identity(claims)
        self._proofs.keep(token, Proof(identity, choice, *_believed_between(claims)))
        return identity

    def issue(self, email: str, *, lifetime: timedelta, **claims: str) -> str:
        """A user's token, for 24 hours at most.

        Raises InvalidAddressError; SetupError without a secret to sign with.
        """
        return self._signed({**claims, "email": self._canonical(email)}, lifetime)

    def issue_visitor(self, visitor_id: UUID, *, lifetime: timedelta) -> str:
        """A token for somebody without an account. SetupError without a secret to sign with."""
        return self._signed({"purpose": ANONYMOUS, "visitor": str(visitor_id)}, lifetime)

    def _signed(self, claims: Mapping[str, str], lifetime: timedelta) -> str:
        if not self._settings.secrets:
            raise SetupError("There is no SERVICE_AUTH_SECRET: only the provider issues tokens.")
        issued_at = now()
        payload = {
            **claims,
            "iss": self._settings.issuer,
            "aud": self._settings.audience,
            "iat": issued_at,
            "exp": issued_at + min(lifetime, MAX_LIFETIME),
        }
        key_id, secret = next(iter(self._settings.secrets.items()))
        headers = {"kid": key_id} if key_id else None
        return jwt.encode(payload, secret, SHARED_SECRET, headers=headers)

    def _checked(self, token: str) -> tuple[dict[str, Any], KeyChoice]:
        """What a token of a known issuer, signed with its key, says; and by which key."""
        compact = read_compact(token)
        issuer = self._issuer(compact)
        choice = _choice(compact.header, issuer.keys)
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                choice.key,
                algorithms=[choice.algorithm],
                audience=issuer.audience,
                leeway=LEEWAY,
                options={"require": list(issuer.required), "strict_aud": True},
            )
            _check_times(claims)
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError):
            raise IdentityError from None
        return claims, choice

    def _issuer(self, compact: Compact) -> Issuer:
        name = compact.claims.get("iss")
        issuer = self._issuers.get(name) if isinstance(name, str) else None
        if issuer is None:
            raise IdentityError
        return issuer

    def _identity(self, claims: Mapping[str, Any]) -> Identity:
        if claims.get("purpose", USER) == USER:
            return self._user(claims)
        if claims["purpose"] == ANONYMOUS and self._takes_visitors(claims):
            return _visitor(claims)
        raise IdentityError

    def _user(self, claims: Mapping[str, Any]) -> Identity:
        """Whose address the issuer vouches for; one that it never verified is nobody's."""
        if claims.get("email_verified", True) is not True:
            raise IdentityError
        if claims.get("sub") == "":
            raise IdentityError
        try:
            email = self._canonical(claims.get("email"))
        except InvalidAddressError:
            raise IdentityError from None
        return Identity(
            user_email=email,
            issuer=claims["iss"],
            subject=_text(claims, "sub", most=_MAX_SUBJECT_LENGTH),
            name=_text(claims, "name"),
            dept=_text(claims, "dept"),
            sid=_text(claims, "sid"),
        )

    def _canonical(self, email: object) -> str:
        return canonical_email(email, allow_unicode_local=self._settings.allow_unicode_local)

    def _takes_visitors(self, claims: Mapping[str, Any]) -> bool:
        """Visitors are ours alone: a provider knows people with accounts."""
        return self._settings.allow_anonymous and claims["iss"] == self._settings.issuer


def _choice(header: Mapping[str, Any], keys: Keys) -> KeyChoice:
    """The algorithm, and the key that a header names. Where keys could be had is not followed."""
    algorithm, key_id = header.get("alg"), header.get("kid", "")
    if not (isinstance(algorithm, str) and isinstance(key_id, str)):
        raise IdentityError
    if header.get("typ", "JWT") != "JWT" or _REFUSED_HEADERS & header.keys():
        raise IdentityError
    key = keys.find(key_id, algorithm)
    if key is None:
        raise IdentityError
    return KeyChoice(keys, key_id, algorithm, key)


def _check_times(claims: Mapping[str, Any]) -> None:
    if any(type(claims[name]) not in (int, float) for name in _TIMES & claims.keys()):
        raise IdentityError
    if not 0 <= claims["exp"] - claims["iat"] <= MAX_LIFETIME.total_seconds():
        raise IdentityError


def _believed_between(claims: Mapping[str, Any]) -> tuple[float, float]:
    """From when, and until when, PyJWT believes the times of claims that it checked once."""
    leeway = LEEWAY.total_seconds()
    begin = max(int(claims[name]) for name in ("iat", "nbf") if name in claims)
    return begin - leeway, int(claims["exp"]) + leeway


def _visitor(claims: Mapping[str, Any]) -> Identity:
    visitor = claims.get("visitor")
    visitor_id = parse_id(visitor) if isinstance(visitor, str) else None
    if visitor_id is None or str(visitor_id) != visitor or "email" in claims:
        raise IdentityError
    return Identity(
        user_email=visitor_owner(visitor_id),
        issuer=claims["iss"],
        is_anonymous=True,
        sid=_text(claims, "sid"),
    )


def _text(claims: Mapping[str, Any], name: str, *, most: int = _MAX_CLAIM_LENGTH) -> str | None:
    """An optional claim: text that can stand in one line; None where there is none, or ''."""
    claim = claims.get(name)
    if claim is None or claim == "":
        return None
    if not isinstance(claim, str) or len(claim) > most or not is_printable(claim):
        raise IdentityError
    return claim
