"""Redis servers of a test's own: alone, a master with a replica and Sentinels, and a Cluster."""

import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import redis
from redis.cluster import key_slot

from tests.streams import until

SERVICE = "parley-master"
SLOTS = 16384
_SHARE = SLOTS // 3 + 1
_DOWN_AFTER_MS = 300


def free_port():
    """A port whose cluster bus, 10,000 above, is free too."""
    while True:
        with closing(socket.create_server(("127.0.0.1", 0))) as reserved:
            port = reserved.getsockname()[1]
        if port < 55_000:
            return port


class RedisServer:
    """A Redis that can be stopped, paused and started again on the same port."""

    def __init__(self, folder, *options, port=None):
        self.port = port or free_port()
        self._folder = folder
        self._options = options
        self.start()

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self):
        binary = Path(sys.executable).with_name("redis-server")
        command = [binary, *self._options, "--port", str(self.port), "--bind", "127.0.0.1"]
        self._process = subprocess.Popen(
            [*command, "--save", "", "--dir", self._folder], stdout=subprocess.DEVNULL
        )
        self._wait()

    def stop(self):
        """Kills it, paused or not."""
        self._process.kill()
        self._process.wait()

    def pause(self):
        self._process.send_signal(signal.SIGSTOP)

    def resume(self):
        self._process.send_signal(signal.SIGCONT)

    def raw(self):
        return redis.Redis(port=self.port)

    def _wait(self):
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with suppress(OSError), closing(socket.create_connection(("127.0.0.1", self.port))):
                return
            time.sleep(0.01)
        raise TimeoutError("Redis did not start")


class Guarded:
    """Two servers, of which one is the master, and three Sentinels."""

    def __init__(self, stack, folder):
        self.servers = [_started(stack, folder) for _ in range(2)]
        with self.servers[1].raw() as replica:
            replica.replicaof("127.0.0.1", self.servers[0].port)
        ports = [free_port() for _ in range(3)]
        self.sentinels = [self._sentinel(stack, folder, ports, port) for port in ports]
        until(self._is_settled)

    def _sentinel(self, stack, folder, ports, own):
        """One that knows the others and the replica: they need not find each other first."""
        master, replica = self.servers
        text = (
            f"sentinel myid {own:040x}\n"
            f"sentinel monitor {SERVICE} 127.0.0.1 {master.port} 2\n"
            f"sentinel down-after-milliseconds {SERVICE} {_DOWN_AFTER_MS}\n"
            f"sentinel failover-timeout {SERVICE} 2000\n"
            f"sentinel known-replica {SERVICE} 127.0.0.1 {replica.port}\n"
        )
        for port in set(ports) - {own}:
            text += f"sentinel known-sentinel {SERVICE} 127.0.0.1 {port} {port:040x}\n"
        path = folder / f"sentinel-{own}.conf"
        path.write_text(text)
        return _started(stack, folder, path, "--sentinel", port=own)

    @property
    def url(self):
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://{hosts}/{SERVICE}/0"

    @property
    def master(self):
        """The server that the first Sentinel calls the master."""
        with self.sentinels[0].raw() as sentinel:
            _, port = sentinel.sentinel_get_master_addr_by_name(SERVICE)
        return next(server for server in self.servers if server.port == port)

    def _is_settled(self):
        for each in self.sentinels:
            with each.raw() as sentinel:
                state = sentinel.sentinel_masters()[SERVICE]
                if (state["num-other-sentinels"], state["num-slaves"]) != (2, 1):
                    return False
        with self.servers[1].raw() as replica:
            return replica.info("replication")["master_link_status"] == "up"


class Clustered:
    """Three masters that share the slots, and a replica of the first."""

    def __init__(self, stack, folder, node_timeout_ms):
        self.servers, self._given = [], {}
        for number in range(4):
            options = [
                "--cluster-enabled", "yes", "--cluster-config-file", f"nodes-{number}.conf",
                "--cluster-node-timeout", str(node_timeout_ms),
                "--cluster-require-full-coverage", "no",
            ]  # fmt: skip
            self.servers.append(_started(stack, folder, *options))
        first, *others = self.servers
        for other in others:
            self.ask(first, "CLUSTER MEET", "127.0.0.1", other.port)
        for number, server in enumerate(self.servers[:3]):
            slots = range(number * _SHARE, min(SLOTS, (number + 1) * _SHARE))
            self.ask(server, "CLUSTER ADDSLOTS", *slots)
        until(lambda: len(self.ask(others[-1], "CLUSTER NODES")) == 4)
        until(lambda: self._replicate(others[-1], first))
        until(lambda: all(self._is_settled(server) for server in self.servers))

    @property
    def url(self):
        hosts = ",".join(f"127.0.0.1:{server.port}" for server in self.servers[:2])
        return f"redis+cluster://{hosts}"

    @staticmethod
    def ask(server, *command):
        with server.raw() as raw:
            return raw.execute_command(*command)

    def owner(self, key):
        """The server that has a key's slot, as the slots were given."""
        slot = key_slot(key.encode())
        return self._given.get(slot) or self.servers[slot // _SHARE]

    def node_id(self, server):
        return self.ask(server, "CLUSTER MYID").decode()

    def give(self, slot, source, target):
        """Gives a slot without keys to another master."""
        for server in (target, source):
            self.ask(server, "CLUSTER SETSLOT", slot, "NODE", self.node_id(target))
        self._given[slot] = target

    def _replicate(self, server, master):
        with suppress(redis.ResponseError):  # it does not know the other yet
            return self.ask(server, "CLUSTER REPLICATE", self.node_id(master))

    def _is_settled(self, server):
        info = self.ask(server, "CLUSTER INFO")
        nodes = self.ask(server, "CLUSTER NODES").values()
        replicas = [node for node in nodes if "slave" in node["flags"]]
        return (info["cluster_state"], info["cluster_slots_ok"]) == ("ok", "16384") and replicas


@contextmanager
def guarded(folder):
    """A master with a replica and Sentinels, until the end of the block."""
    with ExitStack() as stack:
        yield Guarded(stack, folder)


@contextmanager
def clustered(folder, *, node_timeout_ms=10_000):
    """A Cluster, until the end of the block; it takes that long until a node counts as lost."""
    with ExitStack() as stack:
        yield Clustered(stack, folder, node_timeout_ms)


def _started(stack, folder, *options, port=None):
    server = RedisServer(folder, *options, port=port)
    stack.callback(server.stop)
    return server
