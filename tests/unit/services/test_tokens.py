"""Whom a token proves: one kind holds, and whatever differs from it in anything is refused."""

import time
from datetime import timedelta

import pytest

from app.auth_settings import AuthSettings
from app.errors import IdentityError, InvalidAddressError
from app.services.tokens import MAX_LIFETIME, TokenService
from tests.fixtures import SECRET
from tests.tokens import AUDIENCE, HOSTILE, ISSUER, claims, later, signed

OLD_SECRET = "the former secret: 0123456789abcdef"


@pytest.fixture(scope="module")
def tokens():
    return service({"": SECRET})


@pytest.fixture(scope="module")
def rotating():
    return service({"new": SECRET, "old": OLD_SECRET})


def service(secrets, **settings):
    settings = {"issuer": ISSUER, "audience": AUDIENCE} | settings
    return TokenService(AuthSettings(secrets=secrets, **settings))


def test_more_than_a_hundred_hostile_tokens_are_tried():
    assert len(HOSTILE) >= 100


def test_no_hostile_token_proves_anything_or_says_why(tokens):
    """In one test: there are hundreds, and each takes less time than a test of its own."""
    assert tokens.verify(signed())
    answers = {name: refusal(tokens, token()) for name, token in HOSTILE.items()}
    assert answers == dict.fromkeys(HOSTILE, IdentityError.message)


def refusal(tokens, token):
    try:
        return tokens.verify(token)
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
