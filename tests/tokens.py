"""Bearer tokens made by hand: one that holds, and those that must not, each wrong in one way."""

import base64
import hashlib
import hmac
import json
import time

from .fixtures import SECRET

ISSUER, AUDIENCE = "tests", "parley"
_HASHES = {"HS384": hashlib.sha384, "HS512": hashlib.sha512}
_JWK = {"kty": "oct", "k": base64.urlsafe_b64encode(SECRET.encode()).decode()}
_OTHER_SECRET = "another secret: 0123456789abcdef0123456789"


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


def later(seconds):
    return int(time.time()) + seconds


def signed(payload=None, *, header=None, secret=SECRET, algorithm="HS256"):
    """A token; `payload` and `header` may be objects, or bytes that are taken as they are."""
    head = {"alg": algorithm, "typ": "JWT"} | header if isinstance(header, dict) else header
    head = {"alg": algorithm, "typ": "JWT"} if head is None else head
    parts = [_encoded(head), _encoded(claims() if payload is None else payload)]
    sealed = b".".join(parts)
    digest = hmac.digest(secret.encode(), sealed, _HASHES.get(algorithm, hashlib.sha256))
    return b".".join([sealed, _base64(digest)]).decode()


def _encoded(part):
    return _base64(part if isinstance(part, bytes) else json.dumps(part).encode())


def _base64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _with(**changes):
    return lambda: signed(claims(**changes))


def _headed(**header):
    return lambda: signed(header=header)


def _raw(*, payload=None, header=None):
    return lambda: signed(payload, header=header)


def _cut(change):
    return lambda: change(signed().split("."))


def _deep():
    nested = b'{"email":' + b"[" * 3000 + b"]" * 3000 + b"}"
    return signed(nested)


def _bulky():
    return signed(claims(padding="x" * 8192))


def _unsigned(algorithm):
    """With no signature at all, or with the right one that the header denies."""
    return {
        f"alg {algorithm}": lambda: signed(header={"alg": algorithm}),
        f"alg {algorithm}, no signature": lambda: (
            signed(header={"alg": algorithm}).rpartition(".")[0] + "."
        ),
    }


_ALGORITHMS = {
    **_unsigned("none"),
    **_unsigned("None"),
    **_unsigned("NONE"),
    **_unsigned("nOnE"),
    **_unsigned(""),
    "alg HS384": lambda: signed(algorithm="HS384"),
    "alg HS512": lambda: signed(algorithm="HS512"),
    "alg hs256": _headed(alg="hs256"),
    "alg RS256 with an HMAC": _headed(alg="RS256"),
    "alg ES256 with an HMAC": _headed(alg="ES256"),
    "alg EdDSA with an HMAC": _headed(alg="EdDSA"),
    "alg PS256 with an HMAC": _headed(alg="PS256"),
    "alg dir": _headed(alg="dir", enc="A256GCM"),
    "alg is a list": _headed(alg=["HS256"]),
    "alg is null": _headed(alg=None),
    "alg is a number": _headed(alg=256),
    "no alg": _raw(header=b'{"typ":"JWT"}'),
    "signed with another secret": lambda: signed(secret=_OTHER_SECRET),
    "signed with an empty secret": lambda: signed(secret=""),
    "signed with the secret and a space": lambda: signed(secret=SECRET + " "),
}
_HEADERS = {
    "kid unknown": _headed(kid="unknown"),
    "kid like a path": _headed(kid="../../../../dev/null"),
    "kid like SQL": _headed(kid="' OR '1'='1"),
    "kid with a NUL": _headed(kid="\0"),
    "kid is a blank": _headed(kid=" "),
    "kid is a list": _headed(kid=[""]),
    "kid is a number": _headed(kid=0),
    "kid is an object": _headed(kid={"": ""}),
    "kid is null": _headed(kid=None),
    "kid unknown, signed with an empty secret": lambda: signed(header={"kid": "x"}, secret=""),
    "crit": _headed(crit=["exp"]),
    "crit names an unknown extension": _headed(crit=["urn:example"], **{"urn:example": True}),
    "crit empty": _headed(crit=[]),
    "b64 false": _headed(b64=False, crit=["b64"]),
    "zip": _headed(zip="DEF"),
    "typ of another kind": _headed(typ="at+jwt"),
    "typ is a number": _headed(typ=1),
    "typ is null": _headed(typ=None),
    "header is a list": _raw(header=b"[]"),
    "header is a string": _raw(header=b'"HS256"'),
    "header is not JSON": _raw(header=b"{"),
    "header is not UTF-8": _raw(header=b'{"alg":"HS256","x":"\xff"}'),
    "header is empty": _raw(header=b""),
    "jwk of another secret": lambda: signed(header={"jwk": _JWK}, secret=_OTHER_SECRET),
    "jku with another secret": lambda: signed(
        header={"jku": "http://127.0.0.1:9/keys"}, secret=_OTHER_SECRET
    ),
    "x5u with another secret": lambda: signed(
        header={"x5u": "http://127.0.0.1:9/cert"}, secret=_OTHER_SECRET
    ),
    "x5c with another secret": lambda: signed(header={"x5c": ["MIIB"]}, secret=_OTHER_SECRET),
}
_SHAPES = {
    "empty": lambda: "",
    "a dot": lambda: ".",
    "two dots": lambda: "..",
    "one segment": _cut(lambda parts: parts[0]),
    "two segments": _cut(lambda parts: ".".join(parts[:2])),
    "four segments": _cut(lambda parts: ".".join([*parts, parts[2]])),
    "five segments, like a JWE": _cut(lambda parts: ".".join([*parts, parts[1], parts[2]])),
    "no payload": _cut(lambda parts: f"{parts[0]}..{parts[2]}"),
    "no signature": _cut(lambda parts: f"{parts[0]}.{parts[1]}."),
    "signature cut": _cut(lambda parts: ".".join([*parts[:2], parts[2][:-4]])),
    "signature repeated": _cut(lambda parts: ".".join([*parts[:2], parts[2] * 2])),
    "segments swapped": _cut(lambda parts: f"{parts[1]}.{parts[0]}.{parts[2]}"),
    "payload of another token": _cut(
        lambda parts: f"{parts[0]}.{signed(claims(email='a@b.cc')).split('.')[1]}.{parts[2]}"
    ),
    "not base64": _cut(lambda parts: f"{parts[0]}.@@@@.{parts[2]}"),
    "base64 of the wrong length": _cut(lambda parts: f"{parts[0]}.a.{parts[2]}"),
    "letters beyond ASCII": lambda: "é.ü.ß",
    "over 8 kB": _bulky,
    "1 MB": lambda: "a" * 1_000_000,
    "payload nested 3,000 deep": _deep,
    "payload is a list": _raw(payload=b"[]"),
    "payload is a string": _raw(payload=b'"somebody@example.com"'),
    "payload is null": _raw(payload=b"null"),
    "payload is not JSON": _raw(payload=b"{"),
    "payload is not UTF-8": _raw(payload=b'{"email":"\xff"}'),
    "payload is empty": _raw(payload=b""),
}
_TIMES = {
    "expired": lambda: signed(claims(iat=later(-600), exp=later(-300))),
    "expired a minute ago": lambda: signed(claims(iat=later(-600), exp=later(-60))),
    "not yet valid": lambda: signed(claims(nbf=later(120))),
    "issued in the future": lambda: signed(claims(iat=later(120), exp=later(240))),
    "valid for more than 24 hours": lambda: signed(claims(exp=later(24 * 3600 + 60))),
    "issued long ago and still valid": lambda: signed(claims(iat=later(-25 * 3600))),
    "exp before iat": lambda: signed(claims(iat=later(20), exp=later(-100))),
    "exp huge": _with(exp=10**30),
    "exp of 4,000 digits": lambda: signed(_text("exp", "9" * 4000)),
    "exp of 5,000 digits": lambda: signed(_text("exp", "9" * 5000)),
    "exp negative": _with(exp=-1),
    "exp zero": _with(exp=0),
    "exp true": _with(exp=True),
    "exp null": _with(exp=None),
    "exp a string": lambda: signed(claims(exp=str(later(300)))),
    "exp a word": _with(exp="tomorrow"),
    "exp a list": lambda: signed(claims(exp=[later(300)])),
    "exp an object": _with(exp={}),
    "exp infinite": _with(exp=float("inf")),
    "exp not a number": _with(exp=float("nan")),
    "exp a float in the past": lambda: signed(claims(exp=time.time() - 100)),
    "exp 1e400": lambda: signed(_text("exp", "1e400")),
    "iat true": _with(iat=True),
    "iat null": _with(iat=None),
    "iat a string": lambda: signed(claims(iat=str(later(0)))),
    "iat negative": _with(iat=-1),
    "iat infinite": _with(iat=float("inf")),
    "iat minus infinite": _with(iat=float("-inf")),
    "iat not a number": _with(iat=float("nan")),
    "nbf a word": _with(nbf="today"),
    "nbf a list": _with(nbf=[0]),
    "nbf infinite": _with(nbf=float("inf")),
    "nbf of 5,000 digits": lambda: signed(_text("nbf", "9" * 5000)),
}
_PARTIES = {
    "aud of another service": _with(aud="another"),
    "aud in other letters": _with(aud=AUDIENCE.upper()),
    "aud a list": _with(aud=[AUDIENCE]),
    "aud a list with another": _with(aud=[AUDIENCE, "another"]),
    "aud an object": _with(aud={AUDIENCE: True}),
    "aud a number": _with(aud=1),
    "aud true": _with(aud=True),
    "aud empty": _with(aud=""),
    "aud a prefix": _with(aud=AUDIENCE[:-1]),
    "iss of another issuer": _with(iss="another"),
    "iss a list": _with(iss=[ISSUER]),
    "iss an object": _with(iss={ISSUER: True}),
    "iss a number": _with(iss=1),
    "iss null": _with(iss=None),
    "iss empty": _with(iss=""),
    "sub a number": _with(sub=1),
    "sub a list": _with(sub=["somebody"]),
    "sub an object": _with(sub={}),
    "name a list": _with(name=["Somebody"]),
    "name with a NUL": _with(name="Some\0body"),
    "dept a number": _with(dept=7),
    "dept with a line feed": _with(dept="sales\nroot"),
    "dept with half of a surrogate pair": _with(dept="\ud800"),
    "sid an object": _with(sid={}),
    "sid too long": _with(sid="x" * 2000),
    **{f"no {name}": _with(**{name: ...}) for name in ("exp", "iat", "aud", "iss", "email")},
}
ODD_EMAILS = (
    None, True, False, 0, 1, 1.5, [], {}, ["somebody@example.com"], {"email": "a@example.com"},
    "", " ", "@", "a", "a@", "@example.com", "a@b", "a@@example.com", "a@b@example.com",
    " a@example.com", "a@example.com ", "a @example.com", "a@ example.com", "a@example.com\n",
    "a@example.com\r\nX: y", "a\0@example.com", "a@example.com\0", "\tа@example.com",
    "a@example..com", "a@.example.com", "a@-example.com", "a@example.com.", "a@127.0.0.1",
    "a@[127.0.0.1]", "a@localhost", ".a@example.com", "a.@example.com", "a..b@example.com",
    '"a"@example.com', "<a@example.com>", "A <a@example.com>", "a@example.com,b@example.com",
    "mailto:a@example.com", "a(b)@example.com", "a%b@example.com", "*@example.com",
    "{a}@example.com", "a:b@example.com", "anon:0190b2a4-0000-7000-8000-000000000000",
    "\u212aelvin@example.com", "a\u200b@example.com", "a\u202e@example.com", "\u0430@example.com",
    "ａ@example.com", "a@exam\u00adple.com", "e\u0301@example.com", "é@example.com",
    "a@xn--.com", "a@xn--zzzzzzzz.com", "\ud800@example.com", "a＠example.com",
    "x" * 65 + "@example.com", "a@" + "x" * 64 + ".com", "a@" + "x." * 130 + "com",
)  # fmt: skip


def _text(name, literal):
    """Claims as bytes, one of them a JSON literal that Python would not write."""
    whole = claims(**{name: "?"})
    return json.dumps(whole).replace('"?"', literal).encode()


HOSTILE = (
    _ALGORITHMS
    | _HEADERS
    | _SHAPES
    | _TIMES
    | _PARTIES
    | {f"email {email!a:.40}": _with(email=email) for email in ODD_EMAILS}
)
"""By what is wrong with them: functions that make the token at the time of the test."""
