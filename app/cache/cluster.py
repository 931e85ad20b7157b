"""A Redis Cluster: each command goes to the node that has its key's slot.

redis-py knows the nodes and who has which slot; the sending is ours. Its own client sends a
command again that timed out, sleeps while a slot has no node, and lets all threads queue while one
of them looks for the nodes anew.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import count
from threading import Lock
from typing import Any, cast

from redis import Redis, exceptions
from redis._parsers import Encoder
from redis.client import PubSub
from redis.cluster import ClusterNode, NodesManager
from redis.commands import CoreCommands
from redis.crc import key_slot

from .breaker import Breaker
from .connections import FAULTS
from .lanes import AWAY, Command, Lane, Sent

MOST_HOPS = 3
"""How often a command is sent: to who had its slot, to who has it, to who is about to."""
REFRESH_SECONDS = 0.5
"""How often the nodes are asked who has which slot, at most."""


class Cluster:
    """A command has one key, or several of one slot; what has none goes to the masters by turns.

    A pipeline is carried out by the nodes apart from each other: when it fails, any part of it may
    have been carried out. A node that keeps failing is left alone for a second.
    """

    def __init__(self, addresses: Iterable[tuple[str, int]], options: Mapping[str, Any]) -> None:
        """`options` are redis-py's for a pool of connections to a node."""
        self._addresses = tuple(addresses)
        self._options = options
        self._patience = options["socket_timeout"] + options["socket_connect_timeout"]
        self._manager: NodesManager | None = None
        self._refreshing = Lock()
        self._refreshes_at = 0.0
        self._is_outdated = False
        self._turns = count()
        self._newcomers: dict[str, ClusterNode] = {}
        self._breakers: dict[str, Breaker] = {}
        self.execute: Callable[..., Any] = lambda *command: self.execute_all([command])[0]
        self.ask = self.execute
        self.commands: CoreCommands = _Commands(self)

    def execute_all(self, commands: Sequence[Command]) -> list[Any]:
        """The replies to commands that are sent at once; raises if one of them was refused."""
        manager = self._nodes()
        try:
            sent = [Sent(command, self._owner(manager, command)) for command in commands]
            self._send(manager, sent)
        except exceptions.MaxConnectionsError:  # it says nothing about the nodes
            raise
        except AWAY:
            self._refresh(manager)
            raise
        if self._is_outdated:
            self._is_outdated = False
            self._refresh(manager)
        return [each.reply for each in sent]

    def on_all(self, *command: bytes | str | int) -> Any:
        """The reply of one of the masters to a command that is sent to each of them."""
        manager = self._nodes()
        sent = [Sent(command, node) for node in _masters(manager)]
        self._exchange(manager, sent)
        return sent[-1].reply

    def together(self, keys: Iterable[str]) -> list[list[str]]:
        """Keys in groups of which each may stand in one command: those of a slot."""
        groups: dict[int, list[str]] = {}
        for key in keys:
            groups.setdefault(key_slot(key.encode()), []).append(key)
        return list(groups.values())

    def pubsub(self) -> PubSub:
        """A connection to any node: the Cluster tells all of them what is published."""
        manager = self._nodes()
        self._refresh(manager)  # the last connection may have ended with its node
        redis = _redis(manager, self._any(manager))
        return redis.pubsub()  # type: ignore[no-untyped-call,no-any-return]

    def is_current(self, _pubsub: PubSub) -> bool:
        """Any node hears everything, whatever it is by now."""
        return True

    def disconnect(self, *, inuse_connections: bool = True) -> None:
        """Closes all connections, or those that are idle."""
        known = list(self._manager.nodes_cache.values()) if self._manager else []
        for node in [*known, *self._newcomers.values()]:
            if node.redis_connection:
                node.redis_connection.connection_pool.disconnect(inuse_connections)

    def _send(self, manager: NodesManager, sent: Sequence[Sent]) -> None:
        """Sends commands, and those that their nodes sent elsewhere on to there."""
        self._exchange(manager, sent)
        for _ in range(MOST_HOPS - 1):
            sent = [each for each in sent if isinstance(each.reply, exceptions.AskError)]
            if not sent:
                return
            for each in sent:
                self._redirect(manager, each)
            self._exchange(manager, sent)
        for each in sent:
            if isinstance(each.reply, exceptions.AskError):
                raise each.reply

    def _redirect(self, manager: NodesManager, sent: Sent) -> None:
        """Follows MOVED, which is to be remembered, or ASK, which holds this once."""
        to = sent.reply
        to.host = to.host or sent.node.host  # a node may not know its own name
        sent.is_asking = not isinstance(to, exceptions.MovedError)
        if not sent.is_asking:
            manager.slots_cache.setdefault(to.slot_id, [])
            manager.move_slot(to)
            self._is_outdated = True  # it is rarely one slot alone
        sent.node = manager.get_node(to.host, to.port) or self._newcomer(to.host, to.port)

    def _newcomer(self, host: str, port: int) -> ClusterNode:
        """A node that has no slot yet."""
        node = _node(host, port)
        return self._newcomers.setdefault(node.name, node)

    def _exchange(self, manager: NodesManager, sent: Sequence[Sent]) -> None:
        """Sends commands to all of their nodes before it reads any reply."""
        by_node: dict[ClusterNode, list[Sent]] = {}
        for each in sent:
            by_node.setdefault(each.node, []).append(each)
        lanes = [Lane(_redis(manager, it), self._breaker(it), of) for it, of in by_node.items()]
        try:
            for step in (Lane.open, Lane.write, Lane.read):
                for lane in lanes:
                    step(lane)
        finally:
            for lane in lanes:
                lane.close()

    def _owner(self, manager: NodesManager, command: Command) -> ClusterNode:
        key = _key_of(command)
        if key is None:
            return self._any(manager)
        slot = key_slot(key.encode() if isinstance(key, str) else key)
        nodes = manager.slots_cache.get(slot)
        if not nodes:
            raise exceptions.ConnectionError("No node has the slot.")
        return nodes[0]

    def _any(self, manager: NodesManager) -> ClusterNode:
        masters = _masters(manager)
        return masters[next(self._turns) % len(masters)]

    def _breaker(self, node: ClusterNode) -> Breaker:
        known = self._breakers.get(node.name)
        return known or self._breakers.setdefault(node.name, Breaker(name=None))

    def _nodes(self) -> NodesManager:
        """What is known of the Cluster, asked for first where nothing is."""
        if self._manager is None:
            if not self._refreshing.acquire(timeout=self._patience):
                raise exceptions.TimeoutError("Somebody else waits for the nodes.")
            try:
                return self._manager or self._first_look()
            finally:
                self._refreshing.release()
        return self._manager

    def _first_look(self) -> NodesManager:
        if time.monotonic() < self._refreshes_at:
            raise exceptions.ConnectionError("No node answered a moment ago.")
        nodes = [_node(host, port) for host, port in self._addresses]
        try:
            self._manager = NodesManager(
                nodes, from_url=True, dynamic_startup_nodes=False, **self._options
            )
        except FAULTS as error:
            self._refreshes_at = time.monotonic() + REFRESH_SECONDS
            cause = error.__cause__
            if isinstance(cause, exceptions.RedisError):
                raise cause from None
            raise exceptions.ConnectionError("No node answers as a Cluster's.") from None
        return self._manager

    def _refresh(self, manager: NodesManager) -> None:
        """Asks who has which slot now, unless somebody does or did a moment ago."""
        if time.monotonic() < self._refreshes_at or not self._refreshing.acquire(blocking=False):
            return
        try:
            masters = manager.get_nodes_by_server_type("primary")
            known = [(node.host, node.port) for node in masters]
            manager.initialize(additional_startup_nodes_info=known)
        except FAULTS:
            pass
        finally:
            self._refreshes_at = time.monotonic() + REFRESH_SECONDS
            self._refreshing.release()


class _Commands(CoreCommands):
    """redis-py's methods on a Cluster."""

    _event_dispatcher: Any = None

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def execute_command(self, *command: Any, **_options: Any) -> Any:
        if command[0] == "SCRIPT LOAD":
            return self._cluster.on_all(*command)
        return self._cluster.execute(*command)

    def get_encoder(self) -> Encoder:
        return Encoder("utf-8", "strict", decode_responses=False)  # type: ignore[no-untyped-call]


def _node(host: str, port: int) -> ClusterNode:
    return ClusterNode(host, port, "primary")  # type: ignore[no-untyped-call]


def _key_of(command: Command) -> bytes | str | None:
    """The key of a command, a channel's name included, or None."""
    name = command[0]
    if name in ("EVAL", "EVALSHA"):
        place = 3
    elif name == "XREAD":
        place = command.index("STREAMS") + 1
    else:
        place = 1
    return cast(bytes | str, command[place]) if len(command) > place else None


def _masters(manager: NodesManager) -> list[ClusterNode]:
    masters: list[ClusterNode] = manager.get_nodes_by_server_type("primary")
    if not masters:
        raise exceptions.ConnectionError("No master is known.")
    return masters


def _redis(manager: NodesManager, node: ClusterNode) -> Redis:
    if node.redis_connection is None:
        manager.create_redis_connections([node])  # type: ignore[no-untyped-call]
    return cast(Redis, node.redis_connection)
