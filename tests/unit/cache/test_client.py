import pytest

from app.cache.client import RedisClient
from app.errors import SettingsError


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://localhost",
        "unix:///tmp/redis.sock",
        "redis://h:port",
        "redis://h/0?unknown=1",
        "redis+sentinel://h",
        "redis+cluster://h?unknown=1",
    ],
)
def test_a_client_refuses_a_url_it_can_not_use_and_keeps_it_to_itself(url):
    with pytest.raises(SettingsError, match="REDIS_URL") as caught:
        RedisClient(url.replace("//", "//:s3cret@"))
    assert "s3cret" not in str(caught.value)
    assert set(caught.value.faults) == {"REDIS_URL"}


@pytest.mark.parametrize(
    "url",
    [
        "redis://:pw@host:1/2",
        "rediss://user:pw@host",
        "redis+sentinel://:pw@host,other:1/chats/2",
        "rediss+sentinel://host/chats?sentinel_password=pw&ssl_ca_certs=/ca.pem",
        "redis+cluster://user:pw@host:1,other",
        "rediss+cluster://host?ssl_check_hostname=true",
    ],
)
def test_a_client_takes_plain_and_tls_urls_without_connecting(url):
    RedisClient(url).close()
