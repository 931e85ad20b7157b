"""What tokens have proved, so that a client's next request need not prove it once more.

A token is known by its SHA-256 and never kept. What is remembered counts only while a whole check
would find the same: the very key still stands, and the time is within the token's own.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from threading import Lock
from typing import Any

from .identity import Identity
from .keys import Keys

MOST_PROOFS = 4096
"""Of a process: with 1,000 users, each of them may have four tokens in use."""


@dataclass(frozen=True, slots=True)
class KeyChoice:
    """Which of an issuer's keys a token names, and what was found there."""

    keys: Keys
    key_id: str
    algorithm: str
    key: Any

    def stands(self) -> bool:
        """Whether the issuer would still give this very key. Keys that are old are fetched anew."""
        return self.keys.find(self.key_id, self.algorithm) is self.key


@dataclass(frozen=True, slots=True)
class Proof:
    """Who a token proves, from `not_before` until just before `ends_at` (Unix time, in seconds).

    With the leeway in them: they are where a whole check would begin and cease to believe it.
    """

    identity: Identity
    choice: KeyChoice
    not_before: float
    ends_at: float


class Proofs:
    """The newest proofs of this process, at most `most`: who was not seen longest goes first."""

    def __init__(self, most: int = MOST_PROOFS, *, clock: Callable[[], float] = time.time) -> None:
        self._most = most
        self._clock = clock
        self._proofs: OrderedDict[bytes, Proof] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._proofs)

    def find(self, token: str) -> Identity | None:
        """Who the token proves now, if that is known. None says nothing: it must be checked."""
        digest = _digest(token)
        proof = self._proofs.get(digest)
        if proof is None:
            return None
        is_in_time = proof.not_before <= self._clock() < proof.ends_at
        if not (is_in_time and proof.choice.stands()):
            self._forget(digest)
            return None
        with self._lock:
            if digest in self._proofs:
                self._proofs.move_to_end(digest)
        return proof.identity

    def keep(self, token: str, proof: Proof) -> None:
        """Remembers what a whole check of the token has just found."""
        digest = _digest(token)
        with self._lock:
            self._proofs[digest] = proof
            self._proofs.move_to_end(digest)
            if len(self._proofs) > self._most:
                self._proofs.popitem(last=False)

    def _forget(self, digest: bytes) -> None:
        with self._lock:
            self._proofs.pop(digest, None)


def _digest(token: str) -> bytes:
    """Of any text, half of a surrogate pair included: no two are written the same."""
    return sha256(token.encode("utf-8", "surrogatepass")).digest()
