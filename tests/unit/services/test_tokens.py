"""Whom a token proves: one kind holds, and whatever differs from it in anything is refused."""

import dataclasses
import time
from datetime import timedelta

import pytest

from app.auth_settings import AuthSettings, ProviderSettings
from app.errors import IdentityError, InvalidAddressError, SetupError
from app.services.jwks import ProviderKeys
from app.services.tokens import MAX_LIFETIME, TokenService
from tests.fixtures import SECRET
from tests.hostile_claims import HOSTILE_VISITORS
from tests.jwks import (
    PROVIDER,
    PROVIDER_AUDIENCE,
    connections,
    jwk,
    key_set,
    provided,
    provider_claims,
)
from tests.provider_tokens import ALGORITHMS, hostile_to_provider, known_set, pointing_to
from tests.signing import AUDIENCE, ISSUER, VISITOR, claims, later, signed, visitor_claims
from tests.tokens import HOSTILE

OLD_SECRET = "the former secret: 0123456789abcdef"


@pytest.fixture(scope="module")
def tokens():
    return service({"": SECRET})


@pytest.fixture(scope="module")
def rotating():
    return service({"new": SECRET, "old": OLD_SECRET})


def service(secrets, *, shown=None, **settings):
    """With a provider, it shows the known keys, or those of `shown`."""
    auth = AuthSettings(secrets=secrets, issuer=ISSUER, audience=AUDIENCE, **settings)
    document = key_set(*(known_set() if shown is None else shown))
    algorithms = auth.provider.algorithms if auth.provider else ()
    keys = ProviderKeys("", algorithms, fetch=lambda url: document)
    return TokenService(auth, keys if auth.provider else None)


@pytest.fixture(scope="module")
def visited():
    return service({"": SECRET}, allow_anonymous=True)


@pytest.fixture(scope="module")
def both():
    """Secrets for one issuer, a provider's keys for another, and visitors let in."""
    return service({"": SECRET}, allow_anonymous=True, provider=PROVIDER_SETTINGS)


PROVIDER_SETTINGS = ProviderSettings(
    issuer=PROVIDER, audience=PROVIDER_AUDIENCE, jwks_url="https://provider.example.com/keys"
)


def test_hundreds_of_hostile_tokens_are_tried():
    assert len(HOSTILE) >= 370
    assert len(hostile_to_provider()) >= 150


def test_no_hostile_token_proves_anything_or_says_why_or_calls_anybody(tokens):
    """In one test: there are hundreds, and each takes less time than a test of its own."""
    assert tokens.verify(signed())
    with connections() as called:
        assert believed(tokens, HOSTILE) == {}
        assert called == []


def test_no_foul_visitor_comes_in_where_visitors_do(visited):
    identity = visited.verify(signed(visitor_claims()))
    assert (identity.user_email, identity.is_anonymous) == (f"anon:{VISITOR}", True)
    assert believed(visited, HOSTILE_VISITORS) == {}


def test_each_issuer_takes_its_own_family_of_keys_only(both):
    assert both.verify(signed()).issuer == ISSUER
    for algorithm in ALGORITHMS:
        assert both.verify(provided(algorithm)).issuer == PROVIDER
    with connections() as called:
        assert believed(both, hostile_to_provider()) == {}
        assert believed(both, pointing_to("http://127.0.0.1:9/keys")) == {}
        assert called == []


def test_a_key_without_a_name_serves_tokens_of_the_provider_without_one():
    nameless = jwk("EdDSA")
    del nameless["kid"]
    tokens = service({}, provider=PROVIDER_SETTINGS, shown=[nameless])
    assert tokens.verify(provided("EdDSA", kid=...))
    assert tokens.verify(provided("EdDSA", kid=""))
    assert believed(tokens, {"named": lambda: provided("EdDSA")}) == {}


def test_a_provider_alone_leaves_nothing_to_sign_with_here():
    tokens = service({}, provider=PROVIDER_SETTINGS)
    assert tokens.verify(provided("ES256")).subject == "auth0|42"
    for empty in ("", "none", SECRET):
        assert believed(tokens, {empty: lambda empty=empty: signed(secret=empty)}) == {}
    with pytest.raises(SetupError):
        tokens.issue("a@example.com", lifetime=timedelta(minutes=5))


def test_an_algorithm_that_is_not_configured_is_not_taken_though_its_key_is_shown():
    only = dataclasses.replace(PROVIDER_SETTINGS, algorithms=("ES256",))
    tokens = service({}, provider=only)
    assert tokens.verify(provided("ES256"))
    assert believed(tokens, {name: lambda name=name: provided(name) for name in ALGORITHMS}) == {
        "ES256": provider_claims()["email"]
    }


def believed(tokens, hostile):
    """Whom tokens prove that must prove nobody; all others are refused in the same words."""
    return {
        name: answer
        for name, token in hostile.items()
        if (answer := verdict(tokens, token())) != IdentityError.message
    }


def verdict(tokens, token):
    try:
        return tokens.verify(token).user_email
    except IdentityError as error:
        return str(error)


def test_the_reason_of_a_refusal_is_kept_from_who_asks(tokens):
    with pytest.raises(IdentityError) as refused:
        tokens.verify(signed(claims(aud="another")))
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__


def test_a_token_that_holds_names_its_user(tokens):
    given = claims(email="Some.Body@Example.COM", name="Zoë", dept="Sales", sid="s1", sub="42")
    identity = tokens.verify(signed(given))
    assert identity.user_email == "some.body@example.com"
    assert (identity.name, identity.dept, identity.sid) == ("Zoë", "Sales", "s1")


@pytest.mark.parametrize(
    "odd",
    [
        lambda: {"exp": time.time() + 1000.5},
        lambda: {"nbf": later(-10)},
        lambda: {"exp": later(-10), "iat": later(-100)},
        lambda: {"iat": later(10)},
        lambda: {"roles": [1, {"x": None}], "email_verified": True},
        lambda: {"sub": "auth0|5f7c8ec7c33c6c004bbafe82"},
    ],
    ids=["exp with a fraction", "nbf", "just expired", "just ahead", "unknown claims", "subject"],
)
def test_what_the_standard_allows_holds(tokens, odd):
    assert tokens.verify(signed(claims(**odd())))


@pytest.mark.parametrize("header", ["jku", "jwk", "x5u", "x5c", "x5t", "cty"])
def test_a_header_that_points_to_a_key_is_not_followed(tokens, header):
    assert tokens.verify(signed(header={header: "http://127.0.0.1:9/"}))


def test_the_lifetime_counts_from_issue_to_expiry(tokens):
    longest = int(MAX_LIFETIME.total_seconds())
    begun = later(-60)
    assert tokens.verify(signed(claims(iat=begun, exp=begun + longest)))
    with pytest.raises(IdentityError):
        tokens.verify(signed(claims(iat=begun, exp=begun + longest + 1)))


def test_a_key_id_finds_its_secret_by_its_exact_name(rotating):
    assert rotating.verify(signed(header={"kid": "new"}))
    assert rotating.verify(signed(header={"kid": "old"}, secret=OLD_SECRET))
    for header, secret in (
        ({"kid": "new"}, OLD_SECRET),
        ({"kid": "old"}, SECRET),
        ({"kid": "NEW"}, SECRET),
        ({"kid": ""}, SECRET),
        ({}, SECRET),
    ):
        with pytest.raises(IdentityError):
            rotating.verify(signed(header=header, secret=secret))


def test_a_secret_without_a_name_serves_tokens_without_a_key_id_only():
    tokens = service({"": SECRET, "old": OLD_SECRET})
    assert tokens.verify(signed())
    assert tokens.verify(signed(header={"kid": "old"}, secret=OLD_SECRET))
    with pytest.raises(IdentityError):
        tokens.verify(signed(header={"kid": "else"}))


def test_an_issued_token_holds_and_is_signed_with_the_first_secret(tokens, rotating):
    for service in (tokens, rotating):
        token = service.issue("A@Example.com", lifetime=timedelta(minutes=5), dept="Sales")
        identity = service.verify(token)
        assert (identity.user_email, identity.dept) == ("a@example.com", "Sales")
    with pytest.raises(IdentityError):
        tokens.verify(rotating.issue("a@example.com", lifetime=timedelta(minutes=5)))


def test_no_token_is_issued_for_longer_than_a_day_or_for_a_foul_address(tokens):
    assert tokens.verify(tokens.issue("a@example.com", lifetime=timedelta(days=400)))
    with pytest.raises(InvalidAddressError):
        tokens.issue("a@", lifetime=timedelta(minutes=5))


def test_letters_beyond_ascii_before_the_at_are_taken_where_that_is_set():
    token = signed(claims(email="Müller@Bücher.Example"))
    with pytest.raises(IdentityError):
        service({"": SECRET}).verify(token)
    identity = service({"": SECRET}, allow_unicode_local=True).verify(token)
    assert identity.user_email == "müller@xn--bcher-kva.example"


def test_names_in_any_script_are_shown_as_they_are(tokens):
    persian, family = "می\u200cخواهم", "Zoë\u00a0👩\u200d👩\u200d👧"
    identity = tokens.verify(signed(claims(name=persian, dept=family, sid="")))
    assert (identity.name, identity.dept, identity.sid) == (persian, family, None)
