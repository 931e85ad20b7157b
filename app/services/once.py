"""Requests that take effect once, however often they are sent: by a key that their client gives.

The key is written in the transaction of the effect: there are both, or there is neither. Who
comes with the same key meanwhile waits for the end of that transaction.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Generic, TypeVar, cast

from ..database import Database
from ..errors import KeyReusedError
from ..repositories.idempotency_keys import IdempotencyKeyRepository
from ..sessions import OwnedSession

Result = TypeVar("Result")
Reference = Mapping[str, Any]
_LONGEST_CLIENT_ID = 64


@dataclass(frozen=True, slots=True)
class Once:
    """A request by its client's key; `request_sha256` is equal for equal requests."""

    key: str
    request_sha256: bytes

    @property
    def client_message_id(self) -> str:
        """The key as the client's id of the one message that the request is about."""
        if len(self.key) <= _LONGEST_CLIENT_ID:
            return self.key
        return sha256(self.key.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Effect(Generic[Result]):
    """What a request does, in one session; how its result is kept, and made anew from that.

    A reference holds ids, numbers and flags, and not a word of what somebody said: it stays when
    a conversation is erased. `recall` raises RecordNotFoundError then.
    """

    work: Callable[[OwnedSession], Result]
    keep: Callable[[Result], Reference]
    recall: Callable[[OwnedSession, Reference], Result]


class OnceService:
    def __init__(self, database: Database) -> None:
        self._database = database

    def run(self, owner: str, once: Once | None, effect: Effect[Result]) -> Result:
        """The result of the effect, which is all or nothing; or of the same request before.

        KeyReusedError: the key was used for another request. What fails leaves no key.
        """
        with self._database.transaction(owner) as session:
            return _run(session, once, effect) if once else effect.work(session)


def _run(session: OwnedSession, once: Once, effect: Effect[Result]) -> Result:
    keys = IdempotencyKeyRepository(session)
    if keys.start(once.key, once.request_sha256):
        result = effect.work(session)
        keys.finish(once.key, effect.keep(result))
        return result
    found = keys.find_unique_or_raise(where={"key": once.key})
    if found.request_sha256 != once.request_sha256:
        raise KeyReusedError
    return effect.recall(session, cast(Reference, found.response))
