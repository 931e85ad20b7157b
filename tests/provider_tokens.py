"""Tokens that must not hold beside an identity provider's, by what is wrong with them.

They are tried where both families are at home: secrets for one issuer, public keys for another.
"""

import json

import jwt
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from .fixtures import SECRET
from .jwks import jwk, private_key, provided, provider_claims
from .signing import claims, sealed, signed

ALGORITHMS = ("RS256", "ES256", "EdDSA")
SPKI, PKCS1 = PublicFormat.SubjectPublicKeyInfo, PublicFormat.PKCS1


def known_set():
    """What the provider shows: one key for each algorithm."""
    return [jwk(algorithm) for algorithm in ALGORITHMS]


def _public(algorithm, encoding, form):
    return private_key(algorithm).public_key().public_bytes(encoding, form)


def _public_texts():
    """All that somebody could take for a secret, and that anybody can know."""
    for algorithm in ALGORITHMS:
        pem = _public(algorithm, Encoding.PEM, SPKI)
        yield f"{algorithm} PEM", pem
        yield f"{algorithm} PEM without its last line feed", pem.rstrip()
        yield f"{algorithm} DER", _public(algorithm, Encoding.DER, SPKI)
        yield f"{algorithm} JWK", json.dumps(jwk(algorithm)).encode()
        yield f"{algorithm} member", (jwk(algorithm).get("n") or jwk(algorithm)["x"]).encode()
    yield "RS256 PKCS#1", _public("RS256", Encoding.PEM, PKCS1)
    yield "EdDSA raw", _public("EdDSA", Encoding.Raw, PublicFormat.Raw)
    yield "nothing", b""
    yield "our secret", SECRET.encode()


def _confused(key, kid):
    head = {"kid": kid} if kid else {}
    return lambda: signed(provider_claims(), header=head, secret=key)


def _confusions():
    return {
        f"HS256 of the provider's, signed with {name}, kid {kid}": _confused(key, kid)
        for name, key in _public_texts()
        for kid in (*(f"{algorithm} " for algorithm in ALGORITHMS), None)
    }


def _headed(algorithm="RS256", **header):
    return lambda: provided(algorithm, **header)


def _claiming(algorithm="RS256", **changes):
    return lambda: provided(algorithm, payload=provider_claims(**changes))


def _signature_of(data, algorithm):
    head = {"alg": algorithm, "kid": f"{algorithm} "}
    return lambda: sealed(head, provider_claims(), lambda _text: data)


def _of_others(algorithm):
    """What somebody else's token says, under a signature that holds for another."""
    head, _, signature = provided(algorithm).split(".")
    payload = signed(provider_claims(email="root@example.com")).split(".")[1]
    return f"{head}.{payload}.{signature}"


def _really(algorithm):
    """Signed as the header says, with the provider's RSA key, in a way that isn't configured."""
    head = {"alg": algorithm, "kid": "RS256 "}
    signer = jwt.get_algorithm_by_name(algorithm)
    return lambda: sealed(
        head, provider_claims(), lambda text: signer.sign(text, private_key("RS256"))
    )


def _mixtures():
    """Each key's name with each other algorithm, and each family at the other's issuer."""
    tokens = {}
    for algorithm in ALGORITHMS:
        ours = provider_claims(iss=claims()["iss"], aud=claims()["aud"])
        for name, header in (("", {}), (" and no kid", {"kid": ...}), (", kid empty", {"kid": ""})):
            tokens[f"{algorithm} at our issuer{name}"] = (
                lambda algorithm=algorithm, ours=ours, header=header: provided(
                    algorithm, payload=ours, **header
                )
            )
        tokens[f"{algorithm} without a kid"] = _headed(algorithm, kid=...)
        tokens[f"{algorithm} of other claims"] = lambda algorithm=algorithm: _of_others(algorithm)
        if algorithm != "RS256":
            tokens[f"{algorithm} of an unknown key"] = lambda algorithm=algorithm: provided(
                algorithm, "unknown", kid=f"{algorithm} "
            )
        for none in ("none", "None", "", "HS256", "HS512"):
            tokens[f"alg {none} with the kid of {algorithm}"] = _headed(algorithm, alg=none)
        for other in set(ALGORITHMS) - {algorithm}:
            tokens[f"alg {other} with the kid of {algorithm}"] = _headed(algorithm, alg=other)
            tokens[f"{other} with the kid of {algorithm}"] = _headed(other, kid=f"{algorithm} ")
    return tokens


_HEADERS = {
    f"kid {kid!a:.40}": _headed(kid=kid)
    for kid in (
        None, True, 0, 1, 1.5, [], ["RS256 "], {}, "", " ", "RS256", "rs256 ", "RS256  ",
        "RS256 \0", "../../../dev/null", "' OR '1'='1", "http://127.0.0.1:9/key", "x" * 5000,
        "\ud800", "RS256 \u200b", "\uff32S256 ",
    )
} | {
    "crit": _headed(crit=["exp"]),
    "zip": _headed(zip="DEF"),
    "b64 false": _headed(b64=False),
    "typ at+jwt": _headed(typ="at+jwt"),
    "typ of a logout": _headed(typ="logout+jwt"),
    "PS256": _really("PS256"),
    "RS384": _really("RS384"),
    "RS512": _really("RS512"),
    "alg Ed25519": _headed("EdDSA", alg="Ed25519"),
}  # fmt: skip
_SIGNATURES = {
    f"{algorithm} with a signature of {name}": _signature_of(data, algorithm)
    for algorithm in ALGORITHMS
    for name, data in {"nothing": b"", "zeros": b"\0" * 64, "256 zeros": b"\0" * 256}.items()
} | {
    "EdDSA with a point of small order": _signature_of(b"\1" + b"\0" * 63, "EdDSA"),
    "ES256 in DER": _signature_of(b"\x30\x06\x02\x01\x01\x02\x01\x01", "ES256"),
    "RS256 and a padding": lambda: provided() + "==",
    "RS256 and a foreign sign": lambda: provided()[:-9] + "!" + provided()[-9:],
    "ES256 and an octet more": lambda: provided("ES256") + "AA",
    "EdDSA and an octet more": lambda: provided("EdDSA") + "AA",
}
_CLAIMS = {
    "our audience": _claiming(aud=claims()["aud"]),
    "both audiences": _claiming(aud=[provider_claims()["aud"], claims()["aud"]]),
    "audience in a list": _claiming(aud=[provider_claims()["aud"]]),
    "issuer without its slash": _claiming(iss=provider_claims()["iss"].rstrip("/")),
    "issuer twice as long": _claiming(iss=provider_claims()["iss"] * 2),
    "a visitor": _claiming(email=..., purpose="anonymous", visitor="0" * 36),
    "a visitor with a good id": _claiming(
        email=..., purpose="anonymous", visitor="0190b2a4-0000-7000-8000-00000000000a"
    ),
    "an address that isn't verified": _claiming(email_verified=False),
    "an address that is verified in words": _claiming(email_verified="true"),
    "subject a number": _claiming(sub=42),
    "subject missing": _claiming(sub=...),
    "address not known to be verified": _claiming(email_verified=...),
    "subject empty": _claiming(sub=""),
    "expired": _claiming(exp=1, iat=0),
    "no address": _claiming(email=...),
}


def hostile_to_provider():
    """Made when they are wanted, and their keys with them."""
    return _mixtures() | _confusions() | _HEADERS | _SIGNATURES | _CLAIMS


def pointing_to(url):
    """Tokens of a key that isn't the provider's, and that say where it is to be had."""
    own = jwk("ES256", "own")
    pointers = {
        "jku": url,
        "x5u": url,
        "jwk": own,
        "x5c": [own["x"]],
        "x5t": own["x"],
        "kid": url,
        "iss": url,
    }
    tokens = {
        f"{name} of {family}": (
            lambda name=name, value=value, payload=payload: provided(
                "ES256", "own", payload=payload, **{name: value}
            )
        )
        for name, value in pointers.items()
        for family, payload in {"ours": claims(), "the provider's": provider_claims()}.items()
    }
    return tokens | {
        "iss claims it": lambda: provided("ES256", "own", payload=provider_claims(iss=url)),
        "kid of a known key": lambda: provided("ES256", "own", kid="ES256 ", jku=url, jwk=own),
    }
