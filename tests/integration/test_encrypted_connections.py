"""TLS to Redis and PostgreSQL: spoken where the URL says so, and never given up for plain text."""

import dataclasses
from contextlib import ExitStack
from urllib.parse import quote, urlsplit

import httpx2
import pytest
import redis
from sqlalchemy.engine import make_url

from tests.client import Client
from tests.evidence import assert_problem
from tests.server import Server
from tests.streams import until
from tests.tls import ELSEWHERE, Authority, TLSProxy


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("trusted"))


@pytest.fixture(scope="module")
def stranger_authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("unknown"))


@pytest.fixture
def before_redis(settings):
    """Start a proxy before the tests' Redis: `before_redis(context)`."""
    with ExitStack() as stack:
        port = urlsplit(settings.redis_url).port
        yield lambda context: stack.enter_context(TLSProxy(port, context))


@pytest.fixture
def before_postgresql(settings):
    with ExitStack() as stack:
        port = make_url(settings.database_url).port
        yield lambda context: stack.enter_context(TLSProxy(port, context, negotiates=True))


def redis_url(settings, proxy, authority):
    url = urlsplit(settings.redis_url)
    place = f"{url.netloc.rpartition(':')[0]}:{proxy.port}"
    query = f"ssl_ca_certs={quote(str(authority.path))}"
    return url._replace(scheme="rediss", netloc=place, query=query).geturl()


def database_url(settings, proxy, **query):
    url = make_url(settings.database_url).set(host="127.0.0.1", port=proxy.port)
    return url.update_query_dict(query).render_as_string(hide_password=False)


def converse(client):
    """A conversation, written and read again and again; its messages must always be there."""
    place = client.create("Where?", "Here.")["id"]
    assert client.ask("Where?", conversation_id=place).status_code == 200
    for _ in range(5):
        said = [message["content"] for message in client.messages(place)]
        assert said[:3] == ["Where?", "Here.", "Where?"]
    return place


def test_the_cache_works_over_tls(make_app, settings, email, authority, before_redis):
    proxy = before_redis(authority.server())
    app = make_app(redis_url=redis_url(settings, proxy, authority))
    client = Client(app, email)
    place = client.create("Where?", "Here.")["id"]
    counts = app.extensions["parley"].redis.counts
    until(lambda: client.messages(place) and counts.snapshot()["read", "hit"])
    assert client.get("/readyz").json["redis"] == "ok"
    assert proxy.encrypted
    assert not proxy.plain


def test_a_redis_that_cannot_prove_itself_is_not_used(
    make_app, settings, email, authority, stranger_authority, before_redis
):
    """Nor is one without TLS; all answers are right without it."""
    for context in (stranger_authority.server(), authority.server(ELSEWHERE), None):
        proxy = before_redis(context)
        app = make_app(redis_url=redis_url(settings, proxy, authority))
        client = Client(app, email)
        converse(client)
        counts = app.extensions["parley"].redis.counts.snapshot()
        assert not counts["read", "hit"]
        assert not counts["fill", "stored"]
        assert [reason for event, reason in counts if event == "error"]
        assert client.get("/readyz").json["redis"] == "away"
        assert not proxy.encrypted
        assert proxy.told == 0


def test_a_wrong_redis_password_costs_the_cache_and_nothing_else(make_app, settings, email):
    url = urlsplit(settings.redis_url)
    wrong = url._replace(netloc=f":canary-4f1c@{url.netloc.rpartition('@')[2]}").geturl()
    with pytest.raises(redis.AuthenticationError), redis.Redis.from_url(wrong) as raw:
        raw.ping()
    app = make_app(redis_url=wrong)
    converse(Client(app, email))
    counts = app.extensions["parley"].redis.counts.snapshot()
    assert counts["error", "authentication"]
    assert not counts["read", "hit"]


def test_postgresql_works_over_tls(make_app, settings, email, authority, before_postgresql):
    proxy = before_postgresql(authority.server())
    url = database_url(settings, proxy, sslmode="verify-full", sslrootcert=str(authority.path))
    client = Client(make_app(database_url=url), email)
    converse(client)
    assert client.get("/readyz").json["database"] == "ok"
    assert proxy.encrypted
    assert proxy.told
    assert not proxy.plain


def test_a_postgresql_that_cannot_prove_itself_is_away(
    make_app, settings, email, authority, stranger_authority, before_postgresql
):
    """So is one without TLS, where it is required: no password and no text goes there."""
    full = {"sslmode": "verify-full", "sslrootcert": str(authority.path)}
    for context, query in [
        (stranger_authority.server(), full),
        (stranger_authority.server(), full | {"sslmode": "verify-ca"}),
        (authority.server(ELSEWHERE), full),
        (authority.server(), full | {"sslrootcert": "/nowhere/ca.pem"}),
        (None, full),
        (None, {"sslmode": "require"}),
    ]:
        proxy = before_postgresql(context)
        client = Client(make_app(database_url=database_url(settings, proxy, **query)), email)
        assert_problem(client.post("/conversations", json={}), 503, "unavailable")
        assert_problem(client.ask("Where?"), 503, "unavailable")
        assert client.get("/readyz").json["database"] == "away"
        assert proxy.told == 0


def test_without_a_word_about_tls_postgresql_is_spoken_to_as_it_allows(
    make_app, settings, email, before_postgresql
):
    """libpq's own default is to give in: the counter-example to the test before."""
    proxy = before_postgresql(None)
    client = Client(make_app(database_url=database_url(settings, proxy)), email)
    assert_problem(client.post("/conversations", json={}), 503, "unavailable")
    assert proxy.plain


def test_gevent_workers_speak_tls_to_both(
    settings, client, authority, before_redis, before_postgresql
):
    database, cache = before_postgresql(authority.server()), before_redis(authority.server())
    query = {"sslmode": "verify-full", "sslrootcert": str(authority.path)}
    encrypted = dataclasses.replace(
        settings,
        database_url=database_url(settings, database, **query),
        redis_url=redis_url(settings, cache, authority),
    )
    headers = {"Authorization": f"Bearer {client.token}"}
    with (
        Server(encrypted, WEB_CONCURRENCY="1") as server,
        httpx2.Client(base_url=server.url, headers=headers, timeout=20) as http,
    ):
        asked = http.post("/chat?wire=json", json={"message": "Where?"})
        place = asked.json()["conversation_id"]
        read = http.get(f"/conversations/{place}").json()
        until(lambda: http.get("/readyz").json()["redis"] == "ok")
    assert [message["role"] for message in read["messages"]] == ["user", "assistant"]
    assert database.encrypted
    assert cache.encrypted
    assert not database.plain
    assert not cache.plain
