"""Whether what is stored is as it must be, and its repair; for operators, never a text."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from ..addresses import canonical_email, is_visitor
from ..database import Database
from ..errors import RecordNotFoundError
from ..repositories.mending import MendingRepository
from ..repositories.verification import batch, breaks, is_known, owners, said, wording
from ..search_words import search_words
from ..sessions import OperationSession, OwnedSession
from ..transcript import estimate_tokens
from .privileges import insist_on_owner
from .wording import PREVIEW_READ, preview_of

Session = OperationSession | OwnedSession

# What does not follow from anything else that is stored; nor does a path in what is no tree.
_TREE = frozenset({"seq", "parent", "order"})
_PATH = frozenset({"active_leaf", "active_path"})
_UNMENDABLE = _TREE | {
    "owner", "messages_of_others", "runs_of_others", "chunks_of_others", "ledger_of_others",
    "live_answers", "runs_of_answer", "client_message_id", "payload", "depth", "depth_of_messages",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A check that a conversation fails: what is there (often a number), and what should be."""

    check: str
    conversation_id: UUID
    found: str
    expected: str
    is_mended: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """Some conversations, and what is wrong with them."""

    conversations: int
    findings: Sequence[Finding]


class VerificationService:
    def __init__(self, database: Database, *, allow_unicode_local: bool = False) -> None:
        """`database`: as the tables' owner, since no other role sees all users' rows."""
        self._database = database
        self._allow_unicode_local = allow_unicode_local

    def verify(
        self, *, address: str | None = None, is_deep: bool = False, repairs: bool = False
    ) -> Iterator[Verified]:
        """All conversations, or those of one user, part by part; each part as of one moment.

        `is_deep`: the search words of each message, too, which takes reading all texts.
        `repairs`: what follows from the rest is made so, one conversation at a time; what is
        left is found not mended. SetupError: this is not the tables' owner. InvalidAddressError,
        RecordNotFoundError: there is no such user.
        """
        owner = self._owner(address) if address else None
        after: UUID | None = None
        while ids := self._batch(owner, after):
            after = ids[-1]
            findings = self._findings(ids, is_deep=is_deep)
            if repairs and findings:
                findings = self._repaired(findings, is_deep=is_deep)
            yield Verified(conversations=len(ids), findings=findings)

    def _owner(self, address: str) -> str:
        if is_visitor(address):
            return address
        return canonical_email(address, allow_unicode_local=self._allow_unicode_local)

    def _batch(self, owner: str | None, after: UUID | None) -> list[UUID]:
        with self._database.operation() as session:
            if after is None:
                insist_on_owner(session)
            if after is None and owner and not is_known(session, owner):
                raise RecordNotFoundError
            return batch(session, owner=owner, after=after)

    def _findings(self, ids: Sequence[UUID], *, is_deep: bool) -> list[Finding]:
        with self._database.operation() as session:
            found = [_finding(*row) for row in breaks(session, ids)]
            found += [it for row in wording(session, ids, head=PREVIEW_READ) for it in _worded(row)]
            if is_deep:
                found += [it for each in ids for it in _unsearchable(session, each)]
        return sorted(found, key=lambda it: (it.conversation_id, it.check))

    def _repaired(self, before: Sequence[Finding], *, is_deep: bool) -> list[Finding]:
        """What was found, mended or not, and what is found now."""
        broken: dict[UUID, set[str]] = {}
        for it in before:
            broken.setdefault(it.conversation_id, set()).add(it.check)
        with self._database.operation() as session:
            owner_of = owners(session, list(broken))
        for conversation_id, owner in owner_of.items():
            if mendable := _mendable(broken[conversation_id]):
                with self._database.transaction(owner) as session:
                    _mend(session, conversation_id, mendable)
        left = self._findings(sorted(broken), is_deep=is_deep)
        still = {(finding.conversation_id, finding.check) for finding in left}
        gone = [it for it in before if (it.conversation_id, it.check) not in still]
        return [*(replace(it, is_mended=True) for it in gone), *left]


def _finding(check: str, conversation_id: UUID, found: str, expected: str) -> Finding:
    return Finding(check=check, conversation_id=conversation_id, found=found, expected=expected)


def _worded(row: Any) -> Iterator[Finding]:
    if row.preview not in _previews(row):
        yield _finding("preview", row.id, "another text", "the start of the active leaf")
    if not _is_same(row.title_words, search_words(row.title or "")):
        yield _finding("title_words", row.id, "other words", "those of the title")


def _previews(row: Any) -> tuple[str | None, ...]:
    """What a preview may be, the best first: an answer without text has that of its question."""
    if row.said is None:
        return (None,)
    if shown := preview_of(row.said):
        return (shown,)
    return (preview_of(row.said_before or ""), "")


def _unsearchable(session: Session, conversation_id: UUID) -> Iterator[Finding]:
    count = sum(1 for _ in _misindexed(session, conversation_id))
    if count:
        yield _finding("search_words", conversation_id, str(count), "0")


def _misindexed(session: Session, conversation_id: UUID) -> Iterator[tuple[UUID, str]]:
    """Messages whose search words are not those of their text: their ids, and the right words."""
    after = 0
    while rows := said(session, conversation_id, after=after):
        after = rows[-1].seq
        for row in rows:
            words = search_words(row.content)
            if not _is_same(row.search_words, words):
                yield row.id, words


def _is_same(stored: str, words: str) -> bool:
    """PostgreSQL has an order of its own for lexemes, which need no escaping."""
    return sorted(stored.split()) == sorted(words.split())


def _mendable(checks: set[str]) -> set[str]:
    return checks - _UNMENDABLE - (_PATH if checks & _TREE else set())


def _mend(session: OwnedSession, conversation_id: UUID, checks: set[str]) -> None:
    mending = MendingRepository(session)
    if not mending.lock(conversation_id):
        return
    for answer in mending.abandoned(conversation_id):
        _interrupt(mending, conversation_id, answer)
    mending.settle(conversation_id)
    if checks & _PATH:
        mending.draw_path(conversation_id)
    if "search_words" in checks:
        for message_id, words in list(_misindexed(session, conversation_id)):
            mending.reindex(conversation_id, message_id, words)
    (row,) = wording(session, [conversation_id], head=PREVIEW_READ)
    allowed = _previews(row)
    preview = row.preview if row.preview in allowed else allowed[0]
    mending.recount(conversation_id, preview=preview, title_words=search_words(row.title or ""))


def _interrupt(mending: MendingRepository, conversation_id: UUID, answer: Any) -> None:
    mending.interrupt(
        conversation_id,
        answer.id,
        content=answer.kept,
        words=search_words(answer.kept),
        tokens=estimate_tokens(answer.kept),
    )
