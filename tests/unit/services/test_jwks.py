"""A provider's keys: found by name at once, asked for rarely, kept while the provider is away."""

from threading import Event

import httpx2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa

from app.services import jwks
from app.services.jwks import MOST_OFTEN, PATIENCE, STALE_AFTER, ProviderKeys, usable_keys
from tests.jwks import Clock, jwk, jwk_of, key_set

ED, EC = "EdDSA", "ES256"
ALL = frozenset({"RS256", EC, ED})


class Provider:
    """A provider that counts how often it is asked: it shows what it is given, or raises it."""

    def __init__(self, *shown):
        self.shown = key_set(*shown)
        self.asked = 0

    def __call__(self, url):
        self.asked += 1
        if isinstance(self.shown, Exception):
            raise self.shown
        return self.shown


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def provider():
    return Provider(jwk(ED), jwk(EC))


@pytest.fixture
def keys(provider, clock):
    return ProviderKeys("https://example.com/keys", sorted(ALL), fetch=provider, clock=clock)


def refreshed(keys):
    assert keys.refresh().wait(5)


def test_nothing_is_fetched_before_it_is_wanted_and_known_keys_never_again(keys, provider):
    assert provider.asked == 0
    assert all(keys.find(f"{name} ", name) for name in (ED, EC) for _ in range(50))
    assert provider.asked == 1


def test_the_fetch_at_the_start_is_the_first(keys, provider):
    refreshed(keys)
    assert keys.find(f"{ED} ", ED)
    assert provider.asked == 1


def test_a_key_is_found_by_its_exact_name_and_algorithm(keys):
    for key_id, algorithm in (
        (f"{ED} ", EC), (f"{EC} ", ED), (ED, ED), (f"{ED}  ", ED), (f"{ED} ".lower(), ED), ("", ED),
        (f"{ED} ", "HS256"), (f"{ED} ", "none"), (f"{ED} ", ""), (f"{ED} ", "Ed25519"),
    ):  # fmt: skip
        assert keys.find(key_id, algorithm) is None


def test_an_algorithm_that_is_not_configured_is_not_even_asked_for(provider, clock):
    keys = ProviderKeys("https://example.com", [ED], fetch=provider, clock=clock)
    assert keys.find(f"{EC} ", EC) is None
    assert provider.asked == 0
    assert keys.find(f"{ED} ", ED)
    assert keys.find(f"{EC} ", EC) is None


def test_unknown_names_cost_one_fetch_a_minute_however_many_there_are(keys, provider, clock):
    refreshed(keys)
    for minute in range(1, 4):
        clock.time += MOST_OFTEN - 0.001
        assert not any(keys.find(f"unknown {number}", ED) for number in range(500))
        assert provider.asked == minute
        clock.time += 0.001
        assert not any(keys.find(f"unknown {number}", ED) for number in range(500))
        assert provider.asked == minute + 1


def test_a_new_key_works_at_its_first_token_and_an_old_one_while_it_is_shown(keys, provider, clock):
    refreshed(keys)
    provider.shown = key_set(jwk(ED), jwk(ED, "new"))
    assert keys.find(f"{ED} new", ED) is None
    clock.time += MOST_OFTEN
    assert keys.find(f"{ED} new", ED)
    assert keys.find(f"{ED} ", ED)
    assert keys.find(f"{EC} ", EC) is None


def test_a_withdrawn_key_stops_working_when_keys_are_stale(keys, provider, clock):
    refreshed(keys)
    provider.shown = key_set(jwk(EC))
    clock.time += STALE_AFTER - 1
    assert keys.find(f"{ED} ", ED)
    assert provider.asked == 1
    clock.time += 1
    keys.find(f"{ED} ", ED)
    refreshed(keys)
    assert provider.asked == 2
    assert keys.find(f"{ED} ", ED) is None
    assert keys.find(f"{EC} ", EC)


FAULTS = [
    OSError("refused"),
    httpx2.ReadTimeout("slow"),
    httpx2.InvalidURL("foul"),
    httpx2.StreamClosed(),
    b"",
    b"<html>Sign in</html>",
    b"[]",
    b"{}",
    b'{"keys":{}}',
    b'{"keys":[]}',
    b'{"keys":[{"kty":"oct","k":"c2VjcmV0","kid":"EdDSA "}]}',
    b'{"keys":' + b"[" * 100_000,
    b"\xff\xfe",
]


def test_known_keys_outlast_a_provider_that_is_out_of_order(keys, provider, clock):
    for fault in FAULTS:
        provider.asked = 0
        clock.time += STALE_AFTER
        refreshed(keys)
        good, provider.shown = provider.shown, fault
        for _ in range(3):
            clock.time += STALE_AFTER
            refreshed(keys)
            assert keys.find(f"{ED} ", ED), fault
            assert keys.find("unknown", ED) is None, fault
        assert provider.asked == 4, fault
        provider.shown = good
        clock.time += MOST_OFTEN
        refreshed(keys)
        assert keys.find(f"{EC} ", EC), fault


def test_a_provider_that_was_down_at_the_start_is_believed_when_it_is_back(provider, clock):
    good, provider.shown = provider.shown, OSError("refused")
    keys = ProviderKeys("https://example.com", [ED], fetch=provider, clock=clock)
    refreshed(keys)
    assert keys.find(f"{ED} ", ED) is None
    provider.shown = good
    clock.time += MOST_OFTEN
    assert keys.find(f"{ED} ", ED)


@pytest.fixture
def hanging(keys, provider, clock, monkeypatch):
    """Known keys, and a fetch under way that doesn't end before `release` is set."""
    refreshed(keys)
    release, answer = Event(), provider.shown
    monkeypatch.setattr(keys, "_fetch", lambda url: release.wait(30) and answer)
    clock.time += STALE_AFTER
    keys.refresh()
    yield release
    release.set()
    refreshed(keys)


def test_a_known_key_is_found_at_once_while_a_fetch_hangs(keys, hanging):
    assert keys.find(f"{ED} ", ED)
    assert not keys.refresh().is_set()


def test_patience_counts_from_the_beginning_of_a_fetch_and_is_not_had_anew(
    keys, hanging, clock, monkeypatch
):
    """A hundred tokens that come later would else wait three seconds each, one after the other."""
    clock.time += PATIENCE
    assert not any(keys.find(f"unknown {number}", ED) for number in range(100))
    monkeypatch.setattr(jwks, "PATIENCE", PATIENCE + 0.02)
    assert keys.find("unknown", ED) is None
    assert not keys.refresh().is_set()


def test_a_fetch_that_was_overtaken_changes_nothing(keys, hanging, provider, clock, monkeypatch):
    old = keys.refresh()
    monkeypatch.setattr(keys, "_fetch", provider)
    provider.shown = key_set(jwk(EC))
    clock.time += MOST_OFTEN
    refreshed(keys)
    assert keys.find(f"{ED} ", ED) is None
    hanging.set()
    assert old.wait(5)
    assert keys.find(f"{ED} ", ED) is None


RSA_SMALL = rsa.generate_private_key(65537, 1024).public_key()
P384 = ec.generate_private_key(ec.SECP384R1()).public_key()


def bad_jwks():
    """By their names: JWKs that give no key, each wrong in one way."""
    good, curve, big = jwk(ED), jwk(EC), jwk("RS256")
    shapes = (None, True, 5, 1.5, [], {}, ["sig"], "")
    yield from (good | {"use": odd} for odd in (*shapes, "enc", "SIG"))
    yield from (good | {"alg": odd} for odd in (*shapes, "HS256", "ES256", "none", ["EdDSA"]))
    yield from (good | {"kty": odd} for odd in (*shapes, "oct", "okp", "EC", "RSA"))
    yield from (good | {"crv": odd} for odd in (*shapes, "P-256", "Ed448", "X25519"))
    yield from (good | {"kid": odd} for odd in (None, True, 5, 1.5, [], {}, ["x"]))
    yield from (good | {"key_ops": odd} for odd in ([], ["encrypt"], ["sign"], None, 5, "x", {}))
    yield from (good | {"x": odd} for odd in (*shapes, "AA", "?", good["x"] + "AAAA", "é"))
    yield from (curve | {"y": odd} for odd in (*shapes, curve["x"], "AA"))
    yield from (big | {"n": odd} for odd in (*shapes, "AA"))
    yield from (big | {"e": odd} for odd in (*shapes, "AA", "AQ", "Ag"))
    yield from (big | {"alg": odd} for odd in ("PS256", "RS384", "RS512", "RSA-OAEP", "HS256"))
    yield {"kty": "oct", "k": "A" * 43, "alg": "HS256", "kid": "x"}
    yield {"kty": "oct", "k": "A" * 43, "kid": "x"}
    yield {name: value for name, value in good.items() if name != "x"}
    yield jwk_of(RSA_SMALL, "RS256")
    yield jwk_of(P384, "ES384")
    yield jwk_of(ed448.Ed448PrivateKey.generate().public_key(), "EdDSA")
    yield good | {"crv": "X25519", "x": jwk(ED)["x"]}
    yield from ([], "x", None, 5, True)


def test_a_bad_jwk_gives_no_key_and_spoils_none_beside_it():
    for bad in bad_jwks():
        with pytest.raises(ValueError, match="no usable key"):
            usable_keys(key_set(bad), ALL)
    beside = usable_keys(key_set(*bad_jwks(), jwk(ED, "good"), *bad_jwks()), ALL)
    assert beside.keys() == {(f"{ED} good", ED)}


def test_what_may_be_left_out_or_added_makes_no_difference():
    extras = {"x5u": "http://127.0.0.1:9/", "x5c": ["MIIB"], "x5t": "x", "ext": True, "d": "AAAA"}
    for shown in (
        {"use": "sig"}, {"alg": "EdDSA"}, {"alg": "Ed25519"}, {"key_ops": ["verify"]},
        {"key_ops": ["sign", "verify"]}, extras,
    ):  # fmt: skip
        found = usable_keys(key_set(jwk(ED) | shown), ALL)
        assert not hasattr(found[f"{ED} ", ED], "private_bytes")
        assert usable_keys(key_set(jwk(ED) | shown), frozenset({ED})).keys() == found.keys()


def test_a_key_without_a_name_serves_tokens_without_one(provider, clock):
    nameless = {name: value for name, value in jwk(ED).items() if name != "kid"}
    assert usable_keys(key_set(nameless), ALL).keys() == {("", ED)}


def test_of_two_keys_by_one_name_the_last_counts_and_other_algorithms_stay():
    shown = [jwk(ED, "a", kid="k"), jwk(ED, "b", kid="k"), jwk(EC, "c", kid="k")]
    found = usable_keys(key_set(*shown), ALL)
    assert found.keys() == {("k", ED), ("k", EC)}
    assert jwk_of(found["k", ED], ED)["x"] == shown[1]["x"]
