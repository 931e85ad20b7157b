"""FAST: an active conversation is read without PostgreSQL, and what is read is never old.

What a value says is believed when it names this conversation and this owner: writers see to it,
before they commit, that no older one is served from their end on. Where Redis may have missed a
writer's word, that writer has left a note in the outbox; `relay` delivers it.
"""

import math
import secrets
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from uuid import UUID

import structlog

from ..ids import parse_id
from ..writes import FRESH_SECONDS, KNOWN_SECONDS, Written
from .client import Failure, RedisClient
from .fence import (
    GONE,
    MARK_SECONDS,
    Ending,
    Fence,
    Leased,
    is_state,
    key_of,
    prefix_of,
    value_in,
)
from .handles import Begun, Lease, Look
from .messages import Miss, difference
from .splices import restored, spliced
from .values import CachedMessages, Frame, Snapshot, Stamp, is_oversize, jitter, lifetime_ms

log = structlog.get_logger(__name__)

# Nothing was missed: of Redis it says nothing, or that it takes no leases now.
_SAYS_NOTHING = {Failure.POOL_EXHAUSTED, Failure.FULL}
_CONFUSED = {Miss.OTHER_CONVERSATION, Miss.UNDECODABLE}  # it may be a reply to another question


class FastCache:
    """The copies of one database's conversations. A Guard of its writes; raises nothing.

    Serves nothing until `trust` has named the database's epoch, nothing after a doubt until it is
    named again, and nothing when that was FRESH_SECONDS ago. `limit`: how many messages a fill
    should bring at least.
    """

    def __init__(
        self,
        client: RedisClient,
        *,
        ttl: float,
        limit: int,
        mark_seconds: float = MARK_SECONDS,
        jitter: Callable[[], float] = jitter,
        clock: Callable[[], float] = time.monotonic,
        name: Callable[[], str] = lambda: secrets.token_hex(8),
    ) -> None:
        """`mark_seconds`: longer than any write takes from its beginning to its commit.

        `name` gives marks and leases names that nobody else's has.
        """
        self.limit = limit
        self.most = 2 * limit
        """How many messages writes let a copy grow to, before they cut it back to `limit`."""
        self._client = client
        self._fence = Fence(client)
        self._ttl = ttl
        self._jitter = jitter
        self._name = name
        self._clock = clock
        self._mark_ms = round(mark_seconds * 1000)
        self._epoch: str | None = None
        self._looked_at = self._changed_at = -math.inf
        self._trusted_until = -math.inf
        self._is_hitting = True
        self.doubts = 0
        """How often there was a doubt."""

    @property
    def is_trusted(self) -> bool:
        """Whether what Redis holds may be shown."""
        return self._clock() < self._trusted_until

    def look(self) -> Look:
        """How things stand before a look at the outbox."""
        return Look(self.doubts, self._clock())

    def trust(self, epoch: str, look: Look) -> None:
        """What Redis holds of this epoch may be shown for a while, after a look that found nothing.

        Unless there was a doubt since it began, or others may still write to another epoch.
        """
        self._see(epoch, look)
        is_known = look.began_at - self._changed_at >= KNOWN_SECONDS
        if self.doubts == look.doubts and is_known:
            self._trusted_until = look.began_at + FRESH_SECONDS

    def distrust(self, epoch: str, look: Look) -> None:
        """Redis may have missed something; what is written goes to this epoch meanwhile."""
        self._see(epoch, look)
        self.doubt()

    def doubt(self) -> None:
        """Redis may have missed something."""
        self.doubts += 1
        self._trusted_until = -math.inf

    def _see(self, epoch: str, look: Look) -> None:
        """The database's epoch at a look."""
        if self._epoch not in (None, epoch):
            self._changed_at, self._trusted_until = look.began_at, -math.inf
        self._epoch, self._looked_at = epoch, look.began_at

    def _writes_to(self) -> str | None:
        """The epoch that others read from now, if that is certain."""
        is_current = self._clock() - self._looked_at < FRESH_SECONDS
        return self._epoch if is_current else None

    def read(self, conversation_id: UUID, owner: str, limit: int) -> CachedMessages | Lease | None:
        """The newest `limit` messages; else the lease to fill them, if anybody may now."""
        epoch = self._epoch
        if epoch is None or not self.is_trusted:
            self._missed(Miss.DOUBTED)
            return None
        is_likely = self._is_hitting
        found = self._fence.read(epoch, conversation_id, self._name, is_likely=is_likely)
        self._is_hitting = not isinstance(found, Leased)  # as this one, so probably the next
        if isinstance(found, bytes):
            return self._judged(found, epoch, conversation_id, owner, limit)
        if isinstance(found, Leased):
            self._missed(Miss.ABSENT if found.nonce else Miss.MARKED)
            return Lease(epoch, found.nonce) if found.nonce else None
        self._failed(found, epoch, conversation_id)
        return None

    def fill(self, lease: Lease, snapshot: Snapshot) -> None:
        """Stores what was read after the lease was had."""
        value = snapshot.encoded()
        if is_oversize(value):
            self._client.counts.add("fill", "oversize")
            return
        place, ending = UUID(snapshot.stamp.conversation_id), Ending(snapshot.stamp.version, value)
        ttl_ms = self._lifetime()
        outcome = self._fence.fill(lease.epoch, place, lease.nonce, ending, ttl_ms=ttl_ms)
        self._client.counts.add("fill", outcome)

    def begin(self, owner: str, conversation_ids: Collection[UUID], *, is_told: bool) -> Begun:
        """Marks conversations; doubtful where it is not certain that they are marked."""
        epoch, token, ids = self._writes_to(), self._name(), list(conversation_ids)
        if not ids:
            return Begun(epoch, token, owner, {})
        stored = self._begun(epoch, token, ids, is_wanted=is_told) if epoch else None
        if isinstance(stored, list):
            frames = {it: _own(value, it, owner) for it, value in zip(ids, stored, strict=True)}
            return Begun(epoch, token, owner, frames)
        is_gone = epoch is not None and self._fence.remove(epoch, ids)
        if not is_gone:
            self.doubt()
        return Begun(epoch, token, owner, dict.fromkeys(ids), is_doubtful=True)

    def end(self, begun: Begun, written: Mapping[UUID, Written]) -> bool:
        """Lets what was committed be shown; what is not named stays as it was.

        False when Redis did not hear of it, and may have lost the mark, too; or when others may
        read from another epoch by now.
        """
        if not begun.frames:
            return True
        endings = {
            it: self._ending(begun.owner, it, frame, written.get(it))
            for it, frame in begun.frames.items()
        }
        is_current = begun.epoch is not None and begun.epoch == self._writes_to()
        is_heard = is_current and self._tell(begun.epoch or "", begun.token, endings)
        if not is_heard:
            self.doubt()
        return is_heard

    def relay(self, epoch: str, versions: Mapping[UUID, int | None]) -> bool:
        """Tells Redis what it may have missed: conversations' versions, None: gone.

        Whether it heard.
        """
        endings = {it: Ending(GONE if v is None else v) for it, v in versions.items()}
        return self._tell(epoch, "-", endings)

    def forget(self, conversation_ids: Collection[UUID]) -> None:
        """Removes the values of conversations that are no more."""
        if self._epoch is not None and conversation_ids:
            self._fence.drop(self._epoch, list(conversation_ids))

    def stored(self, count: int) -> Iterator[list[UUID]]:
        """The conversations of this epoch of which there is anything, about `count` at a time."""
        prefix = prefix_of(self._epoch or "")
        for keys in self._client.scan(f"{prefix}*", count):
            ids = (parse_id(key[len(prefix) : -1].decode(errors="replace")) for key in keys)
            yield [it for it in ids if it]

    def peek(self, conversation_ids: Collection[UUID]) -> dict[UUID, Frame | None] | None:
        """What is kept of conversations, for who compares it; None instead of what is damaged.

        None at all: Redis does not tell.
        """
        epoch, ids = self._epoch, list(conversation_ids)
        if epoch is None:
            return None
        replies = self._client.ask_all(*(("GET", key_of(epoch, it)) for it in ids))
        if replies is Failure.WRONG_TYPE:
            replies = [self._fence.peek(epoch, it) for it in ids]
        if isinstance(replies, Failure):
            return None
        kept = zip(ids, replies, strict=True)
        return {it: _frame(reply) for it, reply in kept if reply and not is_state(reply)}

    def _begun(
        self, epoch: str, token: str, ids: list[UUID], *, is_wanted: bool
    ) -> list[bytes] | Failure:
        mark_ms = self._mark_ms
        return self._fence.begin(epoch, token, ids, mark_ms=mark_ms, is_wanted=is_wanted)

    def _judged(
        self, stored: bytes, epoch: str, conversation_id: UUID, owner: str, limit: int
    ) -> CachedMessages | None:
        """The newest of what is stored; what can't be shown to anybody is removed.

        Another's conversation is a miss like any other: PostgreSQL says that it is not there.
        """
        frame = _frame(stored)
        miss = difference(frame.stamp, str(conversation_id), owner) if frame else Miss.UNDECODABLE
        if miss is Miss.OTHER_CONVERSATION:
            self._client.counts.add("hostile", miss)
        if miss in _CONFUSED:
            self._client.distrust()
        found = frame.newest(limit) if frame and not miss else None
        if found is not None:
            self._client.counts.add("read", "hit")
            return found
        if miss is not Miss.OTHER_OWNER:
            self._fence.drop(epoch, [conversation_id])
        self._missed(miss or Miss.TOO_SHORT)
        return None

    def _ending(
        self, owner: str, conversation_id: UUID, frame: Frame | None, written: Written | None
    ) -> Ending:
        if written is None:
            return restored(frame)
        if written.revision is None:
            return Ending(GONE)
        version, rev = written.revision
        stamp = Stamp(str(conversation_id), owner, version, str(rev))
        value = spliced(frame, written, stamp=stamp, limit=self.limit, most=self.most)
        return Ending(version, value)

    def _tell(self, epoch: str, token: str, endings: Mapping[UUID, Ending]) -> bool:
        """Whether Redis heard of all endings."""
        outcomes = self._fence.end(epoch, token, endings, ttl_ms=self._lifetime())
        if isinstance(outcomes, Failure):
            self._client.counts.add("write", "failed")
            return False
        for outcome in outcomes:
            self._client.counts.add("write", outcome)
        return True

    def _failed(self, failure: Failure, epoch: str, conversation_id: UUID) -> None:
        if failure is Failure.WRONG_TYPE:
            self._fence.remove(epoch, [conversation_id])
        elif failure not in _SAYS_NOTHING:
            self.doubt()
        self._missed(Miss.UNDECODABLE if failure is Failure.WRONG_TYPE else Miss.AWAY)

    def _missed(self, miss: Miss) -> None:
        self._client.counts.add("read", miss)

    def _lifetime(self) -> int:
        return lifetime_ms(self._ttl, self._jitter())


def _frame(stored: bytes) -> Frame | None:
    try:
        return value_in(stored)
    except ValueError:
        return None


def _own(stored: bytes, conversation_id: UUID, owner: str) -> Frame | None:
    """A value that a write may go on from: of this conversation, and of its owner."""
    frame = _frame(stored) if stored else None
    is_own = frame and not difference(frame.stamp, str(conversation_id), owner)
    return frame if is_own else None
