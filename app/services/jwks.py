"""An identity provider's public keys (JWK Set, RFC 7517), kept while the provider is away."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from threading import Event, Lock, Thread
from typing import Any

import httpx2
import jwt
import structlog
from cryptography.exceptions import UnsupportedAlgorithm

from ..json_text import loads

log = structlog.get_logger(__name__)

MOST_OFTEN = 60.0
"""Seconds between two fetches, whatever tokens say."""
STALE_AFTER = 3600.0
"""Seconds until keys are looked at again, so that one that was withdrawn stops working."""
PATIENCE = 3.0
"""Seconds that a token with an unknown key waits for a fetch."""
_MAX_BYTES = 262_144
_LEAST_RSA_BITS = 2048

# By (kty, crv): the algorithm, and the members that make up the public key. Private ones, and
# where a certificate could be fetched, are left behind.
_KINDS: dict[tuple[object, object], tuple[str, tuple[str, ...]]] = {
    ("RSA", None): ("RS256", ("kty", "n", "e")),
    ("EC", "P-256"): ("ES256", ("kty", "crv", "x", "y")),
    ("OKP", "Ed25519"): ("EdDSA", ("kty", "crv", "x")),
}
_OTHER_NAMES = {"EdDSA": ("EdDSA", "Ed25519")}
_ASKED_FOR = {"Accept": "application/json", "Accept-Encoding": "identity"}
_UNAVAILABLE = (OSError, httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, ValueError)

KeyTable = Mapping[tuple[str, str], Any]


class ProviderKeys:
    """Keys by id and algorithm: known ones are found at once, whatever happens to the provider.

    `fetch` gives the JWK Set as bytes, or raises OSError or httpx2.HTTPError; it runs in a thread
    of its own, so that nothing waits for it longer than PATIENCE.
    """

    def __init__(
        self,
        url: str,
        algorithms: Sequence[str],
        *,
        fetch: Callable[[str], bytes] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url
        self._algorithms = frozenset(algorithms)
        self._fetch = fetch or fetch_bytes
        self._clock = clock
        self._keys: KeyTable = {}
        self._lock = Lock()
        self._next_fetch = self._stale_at = clock()
        self._fetched = Event()

    def find(self, key_id: str, algorithm: str) -> Any | None:
        if algorithm not in self._algorithms:
            return None
        key = self._keys.get((key_id, algorithm))
        if key is None:
            self.refresh().wait(self._patience_left())
            return self._keys.get((key_id, algorithm))
        if self._clock() >= self._stale_at:
            self.refresh()
        return key

    def refresh(self) -> Event:
        """Fetches in the background, at most once a minute; set when the newest fetch is over."""
        with self._lock:
            if self._clock() >= self._next_fetch:
                self._next_fetch = self._clock() + MOST_OFTEN
                self._fetched = Event()
                Thread(target=self._load, args=[self._fetched], daemon=True, name="jwks").start()
            return self._fetched

    def _patience_left(self) -> float:
        """Counted from the newest fetch's beginning: tokens in a row do not each wait anew."""
        return max(0.0, self._next_fetch - MOST_OFTEN + PATIENCE - self._clock())

    def _load(self, fetched: Event) -> None:
        """Takes over what was fetched; an answer without one usable key is as good as none."""
        try:
            keys = usable_keys(self._fetch(self._url), self._algorithms)
        except _UNAVAILABLE as error:
            log.warning("jwks_unavailable", error=type(error).__name__)
        else:
            self._take_over(keys, fetched)
        finally:
            fetched.set()

    def _take_over(self, keys: KeyTable, fetched: Event) -> None:
        """Unless a newer fetch has begun: what it shows may have been withdrawn since."""
        with self._lock:
            if fetched is self._fetched:
                self._keys = keys
                self._stale_at = self._clock() + STALE_AFTER


def usable_keys(document: bytes, algorithms: frozenset[str]) -> KeyTable:
    """The public signing keys of a JWK Set for these algorithms. ValueError: there is none."""
    parsed = loads(document)
    members = parsed.get("keys") if isinstance(parsed, dict) else None
    listed = members if isinstance(members, list) else []
    keys = {
        (key_id, algorithm): key
        for jwk in listed
        for key_id, algorithm, key in _usable(jwk)
        if algorithm in algorithms
    }
    if not keys:
        raise ValueError("no usable key")
    return keys


def _usable(jwk: Any) -> Iterator[tuple[str, str, Any]]:
    """The key id, the one algorithm and the key of a JWK; nothing when it is not for signatures."""
    if not isinstance(jwk, dict) or not _is_for_signatures(jwk):
        return
    kind = (jwk.get("kty"), jwk.get("crv"))
    key_id = jwk.get("kid", "")
    if not all(isinstance(part, str | None) for part in kind) or kind not in _KINDS:
        return
    algorithm, public = _KINDS[kind]
    names = _OTHER_NAMES.get(algorithm, (algorithm,))
    if jwk.get("alg", algorithm) not in names or not isinstance(key_id, str):
        return
    try:
        key = jwt.PyJWK({name: jwk[name] for name in public}, algorithm).key
    except (jwt.PyJWTError, UnsupportedAlgorithm, KeyError, ValueError, TypeError):
        return
    if algorithm != "RS256" or key.key_size >= _LEAST_RSA_BITS:
        yield key_id, algorithm, key


def _is_for_signatures(jwk: Mapping[str, Any]) -> bool:
    operations = jwk.get("key_ops", ["verify"])
    may_verify = isinstance(operations, list) and "verify" in operations
    return may_verify and jwk.get("use", "sig") == "sig"


def fetch_bytes(url: str) -> bytes:
    """What stands at `url`. No redirect is followed: the configured place, or none."""
    deadline = time.monotonic() + PATIENCE
    with (
        httpx2.Client(timeout=PATIENCE, follow_redirects=False, headers=_ASKED_FOR) as client,
        client.stream("GET", url) as response,
    ):
        if response.status_code != 200:
            raise OSError(f"status {response.status_code}")
        # Raw: what unpacks could be a thousand times larger.
        return _bounded(response.iter_raw(), deadline)


def _bounded(pieces: Iterator[bytes], deadline: float) -> bytes:
    """All pieces together; OSError when they are too many, or come too slowly."""
    body = b""
    for piece in pieces:
        body += piece
        if len(body) > _MAX_BYTES or time.monotonic() > deadline:
            raise OSError("too much, or too slowly")
    return body
