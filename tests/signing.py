"""Tokens made by hand: as they should be, or wrong in any way that is asked for."""

import base64
import hashlib
import hmac
import json
import time

from .fixtures import SECRET

ISSUER, AUDIENCE = "tests", "parley"
VISITOR = "0190b2a4-0000-7000-8000-00000000000a"
_HASHES = {"HS384": hashlib.sha384, "HS512": hashlib.sha512}


def claims(**changes):
    """Claims that hold, with changes; a change to `...` leaves the claim out."""
    now = int(time.time())
    whole = {
        "email": "somebody@example.com",
        "iss": ISSUER,
        "aud": AUDIENCE,
        "iat": now,
        "exp": now + 300,
    }
    return {name: value for name, value in (whole | changes).items() if value is not ...}


def visitor_claims(**changes):
    return claims(email=..., purpose="anonymous", visitor=VISITOR) | changes


def later(seconds):
    return int(time.time()) + seconds


def signed(payload=None, *, header=None, secret=SECRET, algorithm="HS256"):
    """A token; `payload` and `header` may be objects, or bytes that are taken as they are."""
    hashed = _HASHES.get(algorithm, hashlib.sha256)
    key = secret if isinstance(secret, bytes) else secret.encode()
    head = {"alg": algorithm, "typ": "JWT"} | header if isinstance(header, dict) else header
    head = {"alg": algorithm, "typ": "JWT"} if head is None else head
    payload = claims() if payload is None else payload
    return sealed(head, payload, lambda text: hmac.digest(key, text, hashed))


def sealed(head, payload, seal):
    """A token of which `seal` makes the signature, from the bytes before it."""
    text = b".".join([_encoded(head), _encoded(payload)])
    return b".".join([text, _base64(seal(text))]).decode()


def _encoded(part):
    return _base64(part if isinstance(part, bytes) else json.dumps(part).encode())


def _base64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")
