"""What is remembered of a token counts as long as a whole check would find the same, no longer."""

import math

import pytest

from app.auth_settings import AuthSettings, ProviderSettings
from app.errors import IdentityError
from app.services.jwks import MOST_OFTEN, STALE_AFTER, ProviderKeys
from app.services.proofs import Proofs
from app.services.tokens import LEEWAY, TokenService
from tests.fixtures import SECRET
from tests.jwks import PROVIDER, PROVIDER_AUDIENCE, Clock, jwk, key_set, provided
from tests.signing import AUDIENCE, ISSUER, claims, later, signed, visitor_claims
from tests.tokens import HOSTILE
from tests.turns import many_turns

SECONDS = LEEWAY.total_seconds()


@pytest.fixture
def clock():
    clock = Clock()
    clock.time = later(0)
    return clock


@pytest.fixture
def proofs(clock):
    return Proofs(clock=clock)


@pytest.fixture
def tokens(proofs):
    return service(proofs)


def service(proofs, **settings):
    auth = AuthSettings(secrets={"": SECRET}, issuer=ISSUER, audience=AUDIENCE, **settings)
    return TokenService(auth, proofs=proofs)


def test_what_a_token_proved_is_found_again_for_this_very_token_alone(tokens, proofs):
    token = signed(claims(name="Zoë"))
    identity = tokens.verify(token)
    assert proofs.find(token) is identity
    assert tokens.verify(token) is identity
    near = (token[:-1], f"{token} ", token.swapcase(), "", "\ud800", signed(claims(name="Z")))
    for other in near:
        assert proofs.find(other) is None


def test_nothing_is_remembered_of_a_token_that_was_refused(tokens, proofs):
    for token in HOSTILE.values():
        with pytest.raises(IdentityError):
            tokens.verify(token())
    assert len(proofs) == 0


@pytest.mark.parametrize("fraction", [0, 0.9])
def test_a_remembered_token_expires_on_time(tokens, proofs, clock, fraction):
    end = later(200)
    token = signed(claims(exp=end + fraction))
    tokens.verify(token)
    clock.time = math.nextafter(end + SECONDS, 0)  # as PyJWT, which leaves the fraction out
    assert proofs.find(token)
    clock.time = end + SECONDS
    assert proofs.find(token) is None
    assert len(proofs) == 0


@pytest.mark.parametrize("claim", ["nbf", "iat"])
def test_a_clock_that_is_set_back_takes_a_token_out_before_its_time(tokens, proofs, clock, claim):
    begin = later(10)
    token = signed(claims(**{claim: begin}))
    tokens.verify(token)
    clock.time = begin - SECONDS
    assert proofs.find(token)
    clock.time = math.nextafter(begin - SECONDS, 0)
    assert proofs.find(token) is None


def test_the_times_are_those_of_the_whole_check(tokens, proofs, clock):
    """On either side of each edge, both say the same of tokens that end or begin now."""
    for moved in (-SECONDS - 5, -SECONDS + 5, 5):
        token = signed(claims(iat=later(-100), exp=later(moved)))
        try:
            tokens.verify(token)
        except IdentityError:
            assert proofs.find(token) is None
        else:
            assert proofs.find(token)


def test_a_key_that_the_provider_withdraws_ends_what_was_proved_with_it(proofs, clock):
    shown = [jwk("ES256"), jwk("EdDSA")]
    keys = ProviderKeys("", ("ES256", "EdDSA"), fetch=lambda _: key_set(*shown), clock=clock)
    its = ProviderSettings(issuer=PROVIDER, audience=PROVIDER_AUDIENCE, jwks_url="https://a.b/c")
    auth = AuthSettings(secrets={}, issuer=ISSUER, audience=AUDIENCE, provider=its)
    tokens = TokenService(auth, keys, proofs=Proofs())
    withdrawn, kept = provided("ES256"), provided("EdDSA")
    assert tokens.verify(withdrawn)
    assert tokens.verify(kept)
    del shown[0]
    clock.time += STALE_AFTER
    assert tokens.verify(withdrawn)  # once more at most: it is this that has the keys fetched
    assert keys.refresh().wait(5)
    clock.time += MOST_OFTEN
    with pytest.raises(IdentityError):
        tokens.verify(withdrawn)
    assert tokens.verify(kept)


def test_a_key_of_the_same_name_does_not_stand_in_for_the_one_that_proved(clock):
    shown = [jwk("EdDSA")]
    keys = ProviderKeys("", ("EdDSA",), fetch=lambda _: key_set(*shown), clock=clock)
    its = ProviderSettings(issuer=PROVIDER, audience=PROVIDER_AUDIENCE, jwks_url="https://a.b/c")
    auth = AuthSettings(secrets={}, issuer=ISSUER, audience=AUDIENCE, provider=its)
    tokens, token = TokenService(auth, keys), provided("EdDSA")
    assert tokens.verify(token)
    shown[0] = jwk("EdDSA", "other", kid="EdDSA ")
    clock.time += STALE_AFTER
    assert keys.refresh().wait(5)
    with pytest.raises(IdentityError):
        tokens.verify(token)


def test_the_memory_is_bounded_and_forgets_who_was_not_seen_longest(clock):
    proofs = Proofs(3, clock=clock)
    tokens = service(proofs)
    first, *others = [signed(claims(email=f"user{number}@example.com")) for number in range(6)]
    tokens.verify(first)
    for token in others:
        tokens.verify(token)
        assert proofs.find(first)
        assert len(proofs) <= 3
    assert [bool(proofs.find(token)) for token in others] == [False] * 3 + [True] * 2


def test_a_visitor_is_remembered_as_a_visitor(proofs):
    tokens, token = service(proofs, allow_anonymous=True), signed(visitor_claims())
    assert tokens.verify(token) is tokens.verify(token)
    assert tokens.verify(token).is_anonymous


def test_many_at_once_are_each_told_who_they_are_themselves(clock):
    """With room for half of them, so that each forgets and is forgotten all the time."""
    proofs = Proofs(8, clock=clock)
    tokens = service(proofs)
    mine = {f"user{number}@example.com": None for number in range(16)}
    mine = {email: signed(claims(email=email)) for email in mine}

    def ask(email):
        return [tokens.verify(mine[email]).user_email for _ in range(20)] == [email] * 20

    with many_turns(8) as threads:
        assert all(threads.map(ask, [*mine] * 2))
    assert len(proofs) <= 8
