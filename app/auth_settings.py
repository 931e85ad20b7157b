"""Whose tokens are believed. One family of algorithms for each issuer, chosen here and never by a
token: HS256 with secrets of our own, or the public keys that an identity provider shows.
"""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from .environ import Environ

SHARED_SECRET = "HS256"  # noqa: S105 -- an algorithm's name
PUBLIC_KEY = ("RS256", "ES256", "EdDSA")

_SECRET_BYTES = 32
_GUESSABLE = frozenset({"changeme", "secret", "default", "password", "your_service_secret"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSettings:
    """An identity provider: tokens of `issuer`, signed with a key that `jwks_url` shows."""

    issuer: str
    audience: str
    jwks_url: str
    algorithms: tuple[str, ...] = PUBLIC_KEY


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthSettings:
    """`secrets` by key id, the one without an id under ''; none where only a provider signs."""

    issuer: str
    audience: str
    secrets: Mapping[str, str] = field(repr=False)
    provider: ProviderSettings | None = None
    allow_anonymous: bool = False
    allow_unicode_local: bool = False

    @classmethod
    def of(cls, variables: Environ) -> "AuthSettings":
        """What the environment says; its faults are noted there."""
        issuer = variables.required("SERVICE_AUTH_ISSUER")
        audience = variables.required("SERVICE_AUTH_AUDIENCE")
        secrets = _secrets(variables)
        provider = _provider(variables, issuer=issuer, audience=audience, secrets=secrets)
        if not (secrets or provider):
            variables.fault("SERVICE_AUTH_SECRET", "is missing: there is no default.")
        if provider is None:
            _check_one_family(variables)
        settings = cls(
            issuer=issuer,
            audience=audience,
            secrets=secrets,
            provider=provider,
            allow_anonymous=variables.flag("ALLOW_ANONYMOUS", default=False),
            allow_unicode_local=variables.flag("ALLOW_UNICODE_LOCAL", default=False),
        )
        if settings.allow_anonymous and not secrets:
            variables.fault("ALLOW_ANONYMOUS", "needs SERVICE_AUTH_SECRET, for visitors' tokens.")
        return settings


def _provider(
    variables: Environ, *, issuer: str, audience: str, secrets: Mapping[str, str]
) -> ProviderSettings | None:
    """Beside secrets of our own the provider is another issuer: two families are two issuers."""
    jwks_url = variables.text("SERVICE_AUTH_JWKS_URL")
    if jwks_url is None:
        return None
    its_own = variables.text("SERVICE_AUTH_JWKS_ISSUER")
    if secrets and its_own in {None, issuer}:
        reason = "is needed beside SERVICE_AUTH_SECRET, and is not SERVICE_AUTH_ISSUER."
        variables.fault("SERVICE_AUTH_JWKS_ISSUER", reason)
    algorithms = variables.words("SERVICE_AUTH_ALGORITHMS") or PUBLIC_KEY
    if not set(algorithms) <= set(PUBLIC_KEY):
        reason = f"must be of {', '.join(PUBLIC_KEY)}: a JWKS shows public keys."
        variables.fault("SERVICE_AUTH_ALGORITHMS", reason)
    if not _is_tamper_proof(jwks_url):
        reason = "must be an https:// URL without user or fragment."
        variables.fault("SERVICE_AUTH_JWKS_URL", reason)
    return ProviderSettings(
        issuer=its_own or issuer,
        audience=variables.text("SERVICE_AUTH_JWKS_AUDIENCE") or audience,
        jwks_url=jwks_url,
        algorithms=algorithms,
    )


def _is_tamper_proof(text: str) -> bool:
    """Whether nobody on the way can change what comes from there: TLS, or this machine itself."""
    try:
        url = urlsplit(text)
        host = url.hostname if url.port != 0 else None
    except ValueError:
        return False
    # urlsplit overlooks tabs and line feeds; who fetches does not.
    if not host or "@" in url.netloc or url.fragment or " " in text or not text.isprintable():
        return False
    return url.scheme == "https" or (url.scheme == "http" and _is_loopback(host))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_one_family(variables: Environ) -> None:
    if variables.words("SERVICE_AUTH_ALGORITHMS") not in {(), (SHARED_SECRET,)}:
        reason = f"must be {SHARED_SECRET}, unless SERVICE_AUTH_JWKS_URL is set."
        variables.fault("SERVICE_AUTH_ALGORITHMS", reason)


def _secrets(variables: Environ) -> Mapping[str, str]:
    """Secrets by key id. `SERVICE_AUTH_SECRET` is one without an id, filed under ''."""
    secrets: dict[str, str] = {}
    for pair in variables.words("SERVICE_AUTH_SECRETS"):
        key_id, colon, secret = pair.partition(":")
        if not (key_id and colon):
            variables.fault("SERVICE_AUTH_SECRETS", "must read kid:secret,kid:secret.")
        if key_id in secrets:
            variables.fault("SERVICE_AUTH_SECRETS", "names one kid twice.")
        secrets[key_id] = secret
    if single := variables.text("SERVICE_AUTH_SECRET"):
        secrets[""] = single
    for key_id, secret in secrets.items():
        _check_secret(variables, key_id, secret)
    return secrets


def _check_secret(variables: Environ, key_id: str, secret: str) -> None:
    name = "SERVICE_AUTH_SECRETS" if key_id else "SERVICE_AUTH_SECRET"
    if len(secret.encode()) < _SECRET_BYTES:
        variables.fault(name, f"must be at least {_SECRET_BYTES} bytes long.")
    elif secret.lower().strip("0123456789-_") in _GUESSABLE or len(set(secret)) < 8:
        variables.fault(name, "can be guessed: use random bytes.")
