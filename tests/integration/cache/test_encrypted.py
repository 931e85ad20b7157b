"""TLS to Sentinels, to the master that they name, and to the nodes of a Cluster."""

from contextlib import ExitStack, closing, contextmanager
from urllib.parse import quote

import pytest

from app.cache.client import RedisClient
from tests.redis_servers import SLOTS, RedisServer, free_port
from tests.streams import until
from tests.tls import ELSEWHERE, Authority, TLSProxy


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("trusted"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("unknown"))


@contextmanager
def behind_sentinel(folder, context):
    """The proxies before a Sentinel and the master that it names, and what a URL says of them."""
    with ExitStack() as stack:
        master = RedisServer(folder)
        stack.callback(master.stop)
        before_master = stack.enter_context(TLSProxy(master.port, context))
        path = folder / "sentinel.conf"
        path.write_text(  # it can't reach the master through TLS, and waits for a minute
            f"sentinel monitor chats 127.0.0.1 {before_master.port} 1\n"
            "sentinel down-after-milliseconds chats 60000\n"
        )
        sentinel = RedisServer(folder, path, "--sentinel")
        stack.callback(sentinel.stop)
        before_sentinel = stack.enter_context(TLSProxy(sentinel.port, context))
        yield (
            [before_master, before_sentinel],
            f"+sentinel://127.0.0.1:{before_sentinel.port}/chats",
        )


@contextmanager
def one_node(folder, context):
    """A Cluster of one node that gives its proxy's port as its own."""
    with ExitStack() as stack:
        port = free_port()
        proxy = stack.enter_context(TLSProxy(port, context))
        node = RedisServer(
            folder, "--cluster-enabled", "yes", "--cluster-announce-ip", "127.0.0.1",
            "--cluster-announce-port", str(proxy.port), port=port,
        )  # fmt: skip
        stack.callback(node.stop)
        with node.raw() as raw:
            raw.execute_command("CLUSTER ADDSLOTS", *range(SLOTS))
            until(lambda: raw.execute_command("CLUSTER INFO")["cluster_state"] == "ok")
        yield [proxy], f"+cluster://127.0.0.1:{proxy.port}"


@contextmanager
def one_seed(folder, context):
    """What a Cluster's URL may name; nothing is to be asked of it."""
    server = RedisServer(folder)
    with TLSProxy(server.port, context) as proxy:
        yield [proxy], f"+cluster://127.0.0.1:{proxy.port}"
    server.stop()


@pytest.mark.parametrize("servers", [behind_sentinel, one_node])
def test_all_of_them_are_spoken_to_over_tls(servers, tmp_path, authority):
    with servers(tmp_path, authority.server()) as (proxies, rest):
        url = f"rediss{rest}?ssl_ca_certs={quote(str(authority.path))}"
        with closing(RedisClient(url)) as client:
            assert client.set("tests", b"x", ttl_ms=60_000)
            assert client.get("tests", max_bytes=9) == b"x"
        assert all(proxy.encrypted for proxy in proxies)


@pytest.mark.parametrize("servers", [behind_sentinel, one_seed])
def test_who_can_not_prove_who_they_are_is_told_nothing(servers, tmp_path, authority, stranger):
    for number, context in enumerate((stranger.server(), authority.server(ELSEWHERE), None)):
        folder = tmp_path / str(number)
        folder.mkdir()
        with servers(folder, context) as (proxies, rest):
            url = f"rediss{rest}?ssl_ca_certs={quote(str(authority.path))}"
            with closing(RedisClient(url)) as client:
                assert not client.set("tests", b"x", ttl_ms=60_000)
                assert not client.ping()
            assert proxies[-1].told == 0
            assert not proxies[-1].encrypted
