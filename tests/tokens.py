"""Bearer tokens that must not hold, each wrong in one way."""

import base64
import json
import string

from .fixtures import SECRET
from .hostile_claims import HOSTILE_CLAIMS
from .signing import claims, signed

_ALPHABET = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
_JWK = {"kty": "oct", "k": base64.urlsafe_b64encode(SECRET.encode()).decode()}
_OTHER_SECRET = "another secret: 0123456789abcdef0123456789"


def _headed(**header):
    return lambda: signed(header=header)


def _raw(*, payload=None, header=None):
    return lambda: signed(payload, header=header)


def _cut(change):
    return lambda: change(signed().split("."))


def _deep(opening, closing):
    """Nested as deep as 8 kB of base64 allow: 4,000 and more would be too long altogether."""
    return lambda: signed(b'{"email":' + opening * 2900 + closing * 2900 + b"}")


def _spelt(part, change):
    """A token that holds, but for the spelling of one of its parts."""

    def make():
        parts = signed().split(".")
        parts[part] = change(parts[part])
        return ".".join(parts)

    return make


def _signature_with(change):
    return _spelt(2, change)


def _turned(part):
    """Other unused bits at the end: the same bytes to who isn't strict."""
    return part[:-1] + _ALPHABET[_ALPHABET.index(part[-1]) ^ 1]


def _plus(literal):
    """Claims that hold and one thing more, as JSON text."""
    return lambda: signed(json.dumps(claims()).encode()[:-1] + b"," + literal + b"}")


def _header_plus(literal):
    return lambda: signed(header=b'{"alg":"HS256",' + literal + b"}")


def _bulky():
    return signed(claims(padding="x" * 8192))


def _standard_alphabet():
    """With + and / for - and _; `padding` changes until the signature has one of them."""
    tokens = (signed(claims(padding=number)) for number in range(100))
    head, _, signature = next(t for t in tokens if {"-", "_"} & set(t[-43:])).rpartition(".")
    return f"{head}.{signature.replace('-', '+').replace('_', '/')}"


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
    "alg Ed25519 with an HMAC": _headed(alg="Ed25519"),
    "alg HS256 and a blank": _headed(alg="HS256 "),
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
    "kid like a URL": _headed(kid="http://127.0.0.1:9/key"),
    "kid very long": _headed(kid="x" * 5000),
    "kid is half of a surrogate pair": _headed(kid="\ud800"),
    "kid is false": _headed(kid=False),
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
    "enc": _headed(enc="A256GCM"),
    "b64 true": _headed(b64=True),
    "typ in other letters": _headed(typ="jwt"),
    "typ of another kind": _headed(typ="at+jwt"),
    "typ is a number": _headed(typ=1),
    "typ is null": _headed(typ=None),
    "header is a list": _raw(header=b"[]"),
    "header is a string": _raw(header=b'"HS256"'),
    "header is not JSON": _raw(header=b"{"),
    "header is not UTF-8": _raw(header=b'{"alg":"HS256","x":"\xff"}'),
    "header is empty": _raw(header=b""),
    "header with a mark of byte order": _raw(header=b'\xef\xbb\xbf{"alg":"HS256"}'),
    "header in UTF-16": _raw(header='{"alg":"HS256"}'.encode("utf-16")),
    "header and more after it": _raw(header=b'{"alg":"HS256"}{}'),
    "header with a number that is none": _header_plus(b'"x":NaN'),
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
    "1 MB of dots": lambda: "." * 1_000_000,
    "1 MB in its signature": _signature_with(lambda part: part + "A" * 1_000_000),
    "lists 2,900 deep": _deep(b"[", b"]"),
    "lists 2,900 deep that don't end": _deep(b"[", b""),
    "objects without end": lambda: signed(b'{"x":' * 1100),
    "lists 4,000 deep": lambda: signed(b'{"email":' + b"[" * 4000 + b"]" * 4000 + b"}"),
    "header 2,900 deep": _raw(header=b'{"x":' + b"[" * 2900 + b"]" * 2900 + b"}"),
    "payload is a list": _raw(payload=b"[]"),
    "payload is a string": _raw(payload=b'"somebody@example.com"'),
    "payload is null": _raw(payload=b"null"),
    "payload is not JSON": _raw(payload=b"{"),
    "payload is not UTF-8": _raw(payload=b'{"email":"\xff"}'),
    "payload is empty": _raw(payload=b""),
    "payload is true": _raw(payload=b"true"),
    "payload is a number": _raw(payload=b"1e9"),
    "payload with a mark of byte order": lambda: signed(
        b"\xef\xbb\xbf" + json.dumps(claims()).encode()
    ),
    "payload in UTF-16": lambda: signed(json.dumps(claims()).encode("utf-16")),
    "payload in UTF-32": lambda: signed(json.dumps(claims()).encode("utf-32")),
    "payload and more after it": lambda: signed(json.dumps(claims()).encode() + b"{}"),
    "payload and a NUL": lambda: signed(json.dumps(claims()).encode() + b"\0"),
    "payload with a comment": _plus(b'/**/"x":1'),
    "payload in single quotes": lambda: signed(str(claims()).encode()),
}
_SPELLINGS = {
    f"{name}: {what}": _spelt(part, change)
    for part, name in enumerate(("header", "payload", "signature"))
    for what, change in {
        "padded": lambda part: part + "=" * (-len(part) % 4 or 4),
        "padded once": lambda part: part + "=",
        "a tab within": lambda part: part[:8] + "\t" + part[8:],
        "a vertical tab within": lambda part: part[:8] + "\v" + part[8:],
        "a blank within": lambda part: part[:8] + " " + part[8:],
        "a NUL within": lambda part: part[:8] + "\0" + part[8:],
        "a foreign sign within": lambda part: part[:8] + "!" + part[8:],
        "a letter beyond ASCII": lambda part: part + "\u00e9",
        "percent-encoded": lambda part: part + "%3D",
        "a letter too many": lambda part: part + "A" * (1 + (3 - len(part)) % 4),
    }.items()
} | {
    "signature: other unused bits": _signature_with(_turned),
    "signature: standard alphabet": _standard_alphabet,
}
_REPETITIONS = {
    "email twice": _plus(b'"email":"root@example.com"'),
    "email twice, the same": _plus(b'"email":"somebody@example.com"'),
    "email twice, once escaped": _plus(rb'"\u0065mail":"root@example.com"'),
    "iss twice": _plus(b'"iss":"tests"'),
    "aud twice, once escaped": _plus(rb'"\u0061ud":"parley"'),
    "exp twice": _plus(b'"exp":9999999999'),
    "purpose twice": _plus(b'"purpose":"user","purpose":"user"'),
    "an unknown claim twice": _plus(b'"x":1,"x":1'),
    "a name twice, one level down": _plus(b'"x":{"y":1,"y":1}'),
    "a name twice, in a list": _plus(b'"x":[[{"y":1},{"y":1,"\\u0079":2}]]'),
    "an empty name twice": _plus(b'"":1,"":1'),
    "alg twice": _header_plus(b'"alg":"HS256"'),
    "alg twice, once none": _header_plus(b'"alg":"none"'),
    "alg twice, once escaped": _header_plus(rb'"\u0061lg":"HS256"'),
    "kid twice": _header_plus(b'"kid":"","kid":""'),
    "a header's name twice, one level down": _header_plus(b'"x":{"y":1,"y":1}'),
    "NaN somewhere": _plus(b'"x":NaN'),
    "Infinity somewhere": _plus(b'"x":[{"y":Infinity}]'),
    "minus Infinity somewhere": _plus(b'"x":-Infinity'),
}
HOSTILE = _ALGORITHMS | _HEADERS | _SHAPES | _SPELLINGS | _REPETITIONS | HOSTILE_CLAIMS
"""By what is wrong with them: functions that make the token at the time of the test."""
