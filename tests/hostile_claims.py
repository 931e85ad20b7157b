"""Claims that must not be believed, well signed: tokens by what is wrong with their claims."""

import json
import time

from .signing import AUDIENCE, ISSUER, VISITOR, claims, later, signed, visitor_claims


def _with(**changes):
    return lambda: signed(claims(**changes))


def _text(name, literal):
    """Claims as bytes, one of them a JSON literal that Python would not write."""
    whole = claims(**{name: "?"})
    return json.dumps(whole).replace('"?"', literal).encode()


TIMES = {
    "expired": lambda: signed(claims(iat=later(-600), exp=later(-300))),
    "expired a minute ago": lambda: signed(claims(iat=later(-600), exp=later(-60))),
    "not yet valid": lambda: signed(claims(nbf=later(120))),
    "issued in the future": lambda: signed(claims(iat=later(120), exp=later(240))),
    "valid for more than 24 hours": lambda: signed(claims(exp=later(24 * 3600 + 60))),
    "issued long ago and still valid": lambda: signed(claims(iat=later(-25 * 3600))),
    "exp before iat": lambda: signed(claims(iat=later(20), exp=later(-100))),
    "exp before iat, both nearly now": lambda: signed(claims(iat=later(20), exp=later(-20))),
    "exp minus infinite": _with(exp=float("-inf")),
    "exp false": _with(exp=False),
    "exp empty": _with(exp=""),
    "exp huge": _with(exp=10**30),
    "exp beyond all floats, iat a float": lambda: signed(claims(exp=10**400, iat=time.time())),
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
    "iat a list": lambda: signed(claims(iat=[later(0)])),
    "iat an object": _with(iat={}),
    "iat false": _with(iat=False),
    "iat of 5,000 digits": lambda: signed(_text("iat", "9" * 5000)),
    "iat huge": _with(iat=10**30),
    "iat a fraction in the future": lambda: signed(claims(iat=time.time() + 100.5)),
    "nbf true": _with(nbf=True),
    "nbf null": _with(nbf=None),
    "nbf a number as text": _with(nbf="0"),
    "nbf an object": _with(nbf={}),
    "nbf huge": _with(nbf=10**30),
    "nbf 1e400": lambda: signed(_text("nbf", "1e400")),
    "nbf not a number": _with(nbf=float("nan")),
    "nbf a word": _with(nbf="today"),
    "nbf a list": _with(nbf=[0]),
    "nbf infinite": _with(nbf=float("inf")),
    "nbf of 5,000 digits": lambda: signed(_text("nbf", "9" * 5000)),
}
PARTIES = {
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
    "iss and a blank": _with(iss=ISSUER + " "),
    "iss in other letters": _with(iss=ISSUER.upper()),
    "aud null": _with(aud=None),
    "aud an empty list": _with(aud=[]),
    "aud and a blank": _with(aud=AUDIENCE + " "),
    "sub a number": _with(sub=1),
    "sub null": _with(sub=None),
    "sub true": _with(sub=True),
    "sub empty": _with(sub=""),
    "sub of 256 letters": _with(sub="x" * 256),
    "sub with a NUL": _with(sub="some\0body"),
    "sub with a line feed": _with(sub="somebody\n"),
    "sub with an escape": _with(sub="\x1b[2J"),
    "sub with a mark of direction": _with(sub="some\u202ebody"),
    "sub with half of a surrogate pair": _with(sub="\udfff"),
    "jti a number": _with(jti=1),
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
PURPOSES = {
    **{
        f"purpose {purpose!a}": _with(purpose=purpose)
        for purpose in (
            None, True, 0, 1, "", " ", "admin", "User", "user ", "users", "Anonymous", "refresh",
            ["user"], [], {}, {"user": True},
        )
    },
    **{
        f"email_verified {verified!a}": _with(email_verified=verified)
        for verified in (False, None, 0, 1, 1.0, "", "true", "True", "false", [], [True], {})
    },
}  # fmt: skip

HOSTILE_VISITORS = {
    f"visitor {visitor!a:.50}": lambda visitor=visitor: signed(visitor_claims(visitor=visitor))
    for visitor in (
        None, True, 1, [], {}, [VISITOR], "", " ", "x", "root", "a@example.com", f"anon:{VISITOR}",
        VISITOR.upper(), VISITOR[:-1], VISITOR + "0", VISITOR + "\n", " " + VISITOR[1:],
        VISITOR.replace("-", ""), f"{{{VISITOR}}}", f"urn:uuid:{VISITOR}", "*" * 36,
        VISITOR.replace("a4", "\uff41\uff14"), "\u0660" + VISITOR[1:], VISITOR.replace("-", "_"),
        "0190b2a400007000-8000-00000000000a--",
    )
} | {
    "visitor with an e-mail": lambda: signed(visitor_claims(email="a@example.com")),
    "visitor with an empty e-mail": lambda: signed(visitor_claims(email="")),
    "visitor with an e-mail that is null": lambda: signed(visitor_claims(email=None)),
    "visitor without an id": lambda: signed(claims(email=..., purpose="anonymous")),
    "visitor by e-mail alone": _with(purpose="anonymous"),
    "visitor's purpose in a list": lambda: signed(visitor_claims(purpose=["anonymous"])),
    "visitor without a purpose": lambda: signed(claims(email=..., visitor=VISITOR)),
    "visitor as a user": lambda: signed(visitor_claims(purpose="user")),
    "visitor's sid an object": lambda: signed(visitor_claims(sid={})),
}  # fmt: skip
"""Where visitors are let in, even."""
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
HOSTILE_CLAIMS = (
    TIMES
    | PARTIES
    | PURPOSES
    | HOSTILE_VISITORS
    | {"visitor that isn't let in": lambda: signed(visitor_claims())}
    | {f"email {email!a:.40}": _with(email=email) for email in ODD_EMAILS}
)
