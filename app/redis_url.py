"""Where Redis is: one server, Sentinels that know which one is the master, or a Cluster.

    redis://[user:password@]host[:6379][/db]
    redis+sentinel://[user:password@]host[:26379],host[:26379]/service[/db]
    redis+cluster://[user:password@]host[:6379],host[:6379]

`rediss` in front speaks TLS to all of them. Options of redis-py may follow, like
`?ssl_ca_certs=/ca.pem`; `sentinel_username` and `sentinel_password` are for the Sentinels, which
are not told those of the master.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from redis.connection import SSLConnection, parse_url

FORMS = (
    "redis://host/db, redis+sentinel://host,host/service/db or redis+cluster://host,host "
    "(rediss… for TLS)"
)
_SCHEMES = {
    f"{plain}{kind}": (plain, kind)
    for plain in ("redis", "rediss")
    for kind in ("", "+sentinel", "+cluster")
}
_PORTS = {"": 6379, "+sentinel": 26379, "+cluster": 6379}
_HOSTS = {"": "localhost", "+sentinel": "", "+cluster": ""}
_NO_DATABASE = "must name no database: a Cluster has none."

Address = tuple[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisUrl:
    """`options` are redis-py's for a connection; `sentinel_options` what differs for Sentinels."""

    addresses: tuple[Address, ...]
    is_encrypted: bool
    is_cluster: bool
    service: str | None
    options: Mapping[str, Any]
    sentinel_options: Mapping[str, Any]

    @property
    def is_replicated(self) -> bool:
        """Whether a server may be succeeded by one that lacks what it confirmed last."""
        return self.is_cluster or self.service is not None


def read_redis_url(url: str) -> RedisUrl:
    """What a URL says. ValueError with what is wrong, which quotes nothing of it."""
    parts = urlsplit(url)
    if parts.scheme not in _SCHEMES:
        raise ValueError(f"must be {FORMS}.")
    plain, kind = _SCHEMES[parts.scheme]
    userinfo, at, hosts = parts.netloc.rpartition("@")
    addresses = tuple(_address(host, _PORTS[kind]) for host in (hosts or _HOSTS[kind]).split(","))
    service, db = _path(parts, kind)
    if kind == "" and len(addresses) > 1:
        raise ValueError("names several hosts: use redis+sentinel:// or redis+cluster://.")
    try:
        options = parse_url(f"{plain}://{userinfo}{at}-{db}?{parts.query}")  # type: ignore[no-untyped-call]
    except ValueError:
        raise ValueError("has an option that can't be read.") from None
    del options["host"]
    if kind == "+cluster" and options.pop("db", 0):
        raise ValueError(_NO_DATABASE)
    _check_proof(options)
    return RedisUrl(
        addresses=addresses,
        is_encrypted=options.pop("connection_class", None) is SSLConnection,
        is_cluster=kind == "+cluster",
        service=service,
        sentinel_options=_sentinel_options(options, kind),
        options=options,
    )


def _address(text: str, port: int) -> Address:
    try:
        parts = urlsplit(f"//{text}")
        host, port = unquote(parts.hostname or ""), parts.port or port
    except ValueError:
        host = ""
    if not host or parts.path or parts.query:
        raise ValueError("must name each host as host or host:port.")
    return host, port


def _path(parts: SplitResult, kind: str) -> tuple[str | None, str]:
    """The name of the service, and the database as redis-py's path."""
    if kind == "":
        return None, parts.path
    names = [unquote(name) for name in parts.path.strip("/").split("/") if name]
    if kind == "+cluster":
        if names not in ([], ["0"]):
            raise ValueError(_NO_DATABASE)
        return None, ""
    if not names or len(names) > 2 or not all(name.isdigit() for name in names[1:]):
        raise ValueError("must end with the master's name: redis+sentinel://host,host/service/db.")
    return names[0], "".join(f"/{db}" for db in names[1:])


def _sentinel_options(options: dict[str, Any], kind: str) -> dict[str, Any]:
    """Takes what is for the Sentinels alone out of `options`."""
    if kind != "+sentinel":
        return {}
    login = {name: options.pop(f"sentinel_{name}", None) for name in ("username", "password")}
    return {name: value for name, value in login.items() if value}


def _check_proof(options: Mapping[str, Any]) -> None:
    """A certificate that is not asked for, or not compared with the host's name, proves nothing."""
    asked = str(options.get("ssl_cert_reqs", "required")).lower()
    if asked != "required" or not options.get("ssl_check_hostname", True):
        raise ValueError("must let the server's certificate be checked.")
