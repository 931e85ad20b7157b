import pytest

from app.redis_url import read_redis_url


def fault(url):
    with pytest.raises(ValueError, match=r"\.$") as raised:
        read_redis_url(url)
    return str(raised.value)


def test_one_server_is_named_as_redis_py_does():
    url = read_redis_url("redis://ana:p%40ss@cache:7000/3?client_name=parley")
    assert url.addresses == (("cache", 7000),)
    assert (url.is_encrypted, url.is_cluster, url.service) == (False, False, None)
    assert not url.is_replicated
    login = {"username": "ana", "password": "p@ss"}
    assert url.options == {**login, "db": 3, "client_name": "parley"}


def test_no_host_is_this_one():
    assert read_redis_url("redis:///1").addresses == (("localhost", 6379),)


def test_sentinels_are_named_with_their_service_and_a_database():
    url = read_redis_url("redis+sentinel://:pw@one,two:5000,[::1]:26380/chats/2")
    assert url.addresses == (("one", 26379), ("two", 5000), ("::1", 26380))
    assert (url.service, url.is_cluster, url.is_encrypted) == ("chats", False, False)
    assert url.options == {"password": "pw", "db": 2}
    assert url.is_replicated


def test_sentinels_have_a_password_of_their_own_or_none():
    alone = read_redis_url("redis+sentinel://ana:pw@one/chats")
    assert alone.sentinel_options == {}
    own = read_redis_url("redis+sentinel://one/chats?sentinel_password=se&sentinel_username=watch")
    assert own.sentinel_options == {"username": "watch", "password": "se"}
    assert own.options == {}


def test_a_cluster_is_named_by_any_of_its_nodes():
    url = read_redis_url("rediss+cluster://ana:pw@one:7000,two/?ssl_ca_certs=/ca.pem")
    assert url.addresses == (("one", 7000), ("two", 6379))
    assert (url.service, url.is_cluster, url.is_encrypted) == (None, True, True)
    assert url.is_replicated
    assert url.options == {"username": "ana", "password": "pw", "ssl_ca_certs": "/ca.pem"}


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://cache", "must be redis://"),
        ("unix:///tmp/redis.sock", "must be redis://"),
        ("redis+sentinels://one/chats", "must be redis://"),
        ("redis://one,two", "several hosts"),
        ("redis://cache:port", "each host"),
        ("redis+sentinel://one,,two/chats", "each host"),
        ("redis+sentinel://one:99999/chats", "each host"),
        ("redis+sentinel://one,two", "master's name"),
        ("redis+sentinel://one/chats/first", "master's name"),
        ("redis+sentinel://one/chats/0/1", "master's name"),
        ("redis+cluster://one/1", "no database"),
        ("redis+cluster://one?db=1", "no database"),
        ("redis+cluster:///", "each host"),
        ("redis://cache?db=many", "option"),
    ],
)
def test_what_is_wrong_is_said_without_the_password(url, why):
    told = fault(url.replace("://", "://:s3cret@", 1))
    assert why in told
    assert "s3cret" not in told


@pytest.mark.parametrize(
    "kind", ["rediss://cache", "rediss+sentinel://one/chats", "rediss+cluster://one"]
)
@pytest.mark.parametrize(
    "foul",
    [
        "ssl_cert_reqs=none", "ssl_cert_reqs=Optional", "ssl_cert_reqs=CERT_NONE",
        "ssl_check_hostname=false", "ssl_check_hostname=0", "ssl_check_hostname=No",
        "ssl%5Fcert_reqs=none", "client_name=x&ssl_check_hostname=n",
    ],
)  # fmt: skip
def test_certificates_are_always_checked(kind, foul):
    assert "certificate" in fault(f"{kind}?{foul}")
    assert read_redis_url(f"{kind}?ssl_cert_reqs=required&ssl_check_hostname=yes")
