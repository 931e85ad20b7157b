"""An identity provider that is there, away, slow or foul: who has a known key comes in at once."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import httpx2
import pytest

from app.auth_settings import PUBLIC_KEY, ProviderSettings
from app.services import jwks
from app.services.jwks import ProviderKeys
from tests.evidence import refused
from tests.jwks import (
    PROVIDER,
    PROVIDER_AUDIENCE,
    Clock,
    KeyServer,
    bomb,
    connections,
    endless,
    hanging,
    hanging_after,
    jwk,
    key_set,
    provided,
    saying,
    showing,
    trickling,
)
from tests.provider_tokens import ALGORITHMS, hostile_to_provider, known_set, pointing_to
from tests.server import Server
from tests.signing import signed
from tests.streams import until
from tests.tokens import HOSTILE

DOOR = "/conversations"
KNOWN = key_set(*known_set())
OTHERS = key_set(jwk("EdDSA", "other"))


@pytest.fixture
def provider():
    with KeyServer(KNOWN) as server:
        yield server


@pytest.fixture
def doored(make_app, settings, provider):
    """An application that believes the provider, and whom it answers."""
    its = ProviderSettings(issuer=PROVIDER, audience=PROVIDER_AUDIENCE, jwks_url=provider.url)
    return make_app(auth=replace(settings.auth, provider=its, allow_anonymous=True))


@pytest.fixture
def knock(doored):
    def call(token):
        return doored.test_client().get(DOOR, headers={"Authorization": f"Bearer {token}"})

    return call


def test_known_keys_open_with_one_fetch_at_the_start(doored, provider, knock):
    doored.extensions["parley"].start()
    for _ in range(3):
        assert [knock(provided(name)).status_code for name in ALGORITHMS] == [200, 200, 200]
        assert knock(signed()).status_code == 200
    assert provider.requests == 1


def test_no_hostile_token_opens_a_door_that_two_issuers_share(knock, provider):
    assert knock(provided()).status_code == 200
    hostile = HOSTILE | hostile_to_provider() | pointing_to(provider.url + "/foreign")
    del hostile["visitor that isn't let in"]
    with connections() as called:
        answers = {name: refused(knock(token())) for name, token in hostile.items()}
        assert called == []
    assert set(answers.values()) == {"A valid bearer token is required."}
    assert provider.requests == 1


def in_two_minutes():
    return time.monotonic() + 120


BODY = b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n"
FAULTS = {
    "hangs": hanging,
    "hangs after the head": hanging_after(BODY),
    "hangs within the body": hanging_after(BODY + b'{"keys":['),
    "sends its head byte by byte": trickling(BODY + b" " * 2000),
    "sends its body byte by byte": trickling(b" " * 2000, at_once=BODY),
    "sends 1 GB": endless,
    "sends 10,000 keys": showing(key_set(*[jwk("EdDSA", "other")] * 10_000)),
    "redirects": showing(OTHERS, status="302 Found", headers="Location: http://127.0.0.1:9/keys"),
    "moves for good": showing(OTHERS, status="308 Permanent Redirect", headers="Location: /keys"),
    "shows keys with a status of 500": showing(OTHERS, status="500 Internal Server Error"),
    "shows keys with a status of 203": showing(OTHERS, status="203 Non-Authoritative Information"),
    "shows a page": showing(b"<html>Sign in</html>", headers="Content-Type: text/html"),
    "shows no keys": showing(b'{"keys":[]}'),
    "shows nothing": showing(b""),
    "stops short": saying(BODY + OTHERS[:50]),
    "closes at once": saying(b""),
    "speaks another language": saying(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "sends heads without end": saying(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100_000),
}


def test_whatever_a_provider_does_wrong_known_keys_stay_and_nobody_waits_long(
    provider, monkeypatch
):
    monkeypatch.setattr(jwks, "PATIENCE", 0.3)
    clock = Clock()
    keys = ProviderKeys(provider.url, PUBLIC_KEY, clock=clock)
    assert keys.find("EdDSA ", "EdDSA")
    faults = FAULTS | {"sends 100 MB in 100 kB": bomb()}
    for name, fault in faults.items():
        provider.answer = fault
        clock.time += jwks.STALE_AFTER
        assert keys.find("EdDSA ", "EdDSA"), name
        begun = time.monotonic()
        assert keys.find("EdDSA other", "EdDSA") is None, name
        assert time.monotonic() - begun < jwks.PATIENCE + 2, name
        assert keys.refresh().wait(2), name  # the thread ends, too
    assert provider.requests == 1 + len(faults)
    provider.answer = showing(OTHERS)
    clock.time += jwks.STALE_AFTER
    assert keys.find("EdDSA other", "EdDSA")
    assert keys.find("EdDSA ", "EdDSA") is None


def test_a_provider_that_hangs_holds_up_nobody_but_who_names_an_unknown_key(
    doored, provider, knock, monkeypatch
):
    assert knock(provided("ES256")).status_code == 200
    monkeypatch.setattr(doored.extensions["parley"]._provider_keys, "_clock", in_two_minutes)
    provider.answer = hanging
    with ThreadPoolExecutor(8) as waiting:
        unknown = [waiting.submit(knock, provided("EdDSA", "unknown")) for _ in range(8)]
        until(lambda: provider.requests == 2)
        for token in (provided("ES256"), provided("EdDSA"), signed()):
            assert knock(token).status_code == 200
        assert not any(answer.done() for answer in unknown)
        provider.stop()
        assert {refused(answer.result()) for answer in unknown} == {
            "A valid bearer token is required."
        }


def test_a_served_application_fetches_at_its_start_and_outlives_the_provider(settings):
    with KeyServer(KNOWN) as provider, _served(settings, provider) as server:
        until(lambda: provider.requests == 1)
        assert [_status(server, provided(name)) for name in ALGORITHMS] == [200, 200, 200]
        provider.stop()
        assert [_status(server, provided(name)) for name in ALGORITHMS] == [200, 200, 200]
        assert _status(server, provided("EdDSA", "unknown")) == 401
        assert provider.requests == 1


def _served(settings, provider):
    return Server(
        settings,
        WEB_CONCURRENCY="1",
        SERVICE_AUTH_JWKS_URL=provider.url,
        SERVICE_AUTH_JWKS_ISSUER=PROVIDER,
        SERVICE_AUTH_JWKS_AUDIENCE=PROVIDER_AUDIENCE,
    )


def _status(server, token):
    headers = {"Authorization": f"Bearer {token}"}
    return httpx2.get(f"{server.url}{DOOR}", headers=headers, timeout=10).status_code
