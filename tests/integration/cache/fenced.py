"""A conversation's key in Redis, and what is done to it by hand."""

from dataclasses import dataclass, field
from uuid import UUID, uuid4

from app.cache.fast import FastCache
from app.cache.fence import MARK_SECONDS, Ending, Fence, Leased, key_of
from app.cache.values import Snapshot, Stamp
from app.revisions import Revision
from app.writes import Said, Written

EPOCH = "tests"
OWNER = "ana@example.org"
LIFETIME = 60_000
_REVS = [uuid4() for _ in range(10)]


def trusting(client, **options):
    """A cache that shows what Redis has."""
    cache = FastCache(client, ttl=60, limit=50, **options)
    cache.trust(EPOCH, cache.look())
    return cache


@dataclass(frozen=True)
class Talk:
    """A conversation, of which each version has one message more."""

    id: UUID = field(default_factory=uuid4)
    owner: str = OWNER

    @property
    def key(self):
        return key_of(EPOCH, self.id)

    def snapshot(self, version):
        stamp = Stamp(str(self.id), self.owner, version, str(_REVS[version]))
        items = [said(number).json for number in range(version)]
        return Snapshot(stamp, record(version), items, complete_from_start=True)

    def value(self, version):
        return self.snapshot(version).encoded()

    def written(self, version):
        """What the write tells that made a version."""
        revision = Revision(version, _REVS[version])
        return {self.id: Written(revision, record(version), appended=[said(version - 1)])}


def record(version):
    return b'{"revision":%d}' % version


def said(number):
    message_id = UUID(int=number)
    return Said(message_id, b'{"id":"%b","seq":%d}' % (str(message_id).encode(), number))


class Hand:
    """The steps of the Fence on one conversation, with its versions for values."""

    def __init__(self, client, talk):
        self._fence = Fence(client)
        self._talk = talk

    def begin(self, token):
        marking = {"mark_ms": 1000 * MARK_SECONDS, "is_wanted": True}
        (stored,) = self._fence.begin(EPOCH, token, [self._talk.id], **marking)
        return stored

    def end(self, token, version, value=0):
        ending = Ending(version, self._talk.value(value) if value else b"")
        (outcome,) = self._fence.end(EPOCH, token, {self._talk.id: ending}, ttl_ms=LIFETIME)
        return outcome

    def read(self, nonce, *, is_likely=True):
        """A value, or whether the lease was had."""
        found = self._fence.read(EPOCH, self._talk.id, lambda: nonce, is_likely=is_likely)
        return found.nonce is not None if isinstance(found, Leased) else found

    def fill(self, nonce, version):
        ending = Ending(version, self._talk.value(version))
        return self._fence.fill(EPOCH, self._talk.id, nonce, ending, ttl_ms=LIFETIME)

    def drop(self):
        self._fence.drop(EPOCH, [self._talk.id])
