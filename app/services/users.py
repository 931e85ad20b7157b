"""The users' rows: made at first sight, looked at again every few seconds."""

import time
from collections import OrderedDict
from contextlib import suppress
from threading import Lock

import structlog
from sqlalchemy.exc import IntegrityError

from ..database import Database
from ..errors import IdentityError
from ..repositories.users import UserRepository
from .identity import Identity

log = structlog.get_logger(__name__)

SEEN_SECONDS = 4.0
"""How long a look at a row counts: a deactivated user is out within five seconds."""
MOST_SEEN = 10_000

Proof = tuple[str, str, str | None]


class UserService:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._seen: OrderedDict[Proof, float] = OrderedDict()
        self._lock = Lock()

    def see(self, identity: Identity) -> None:
        """Makes sure of a row for who asks, pinned to the first subject that was seen.

        Remembers for `SEEN_SECONDS`, so that a request in a conversation costs no query for it.
        Raises IdentityError for a deactivated user, for an address of another subject, and for a
        subject with another address; only the log tells which.
        """
        proof = (identity.user_email, identity.issuer, identity.subject)
        if self._seen.get(proof, 0.0) > time.monotonic():
            return
        looked_at = time.monotonic()
        with self._database.statement(identity.user_email) as session:
            users = UserRepository(session)
            if not _is_welcome(users, identity):
                log.warning("user_refused", reason=_reason(users, identity))
                raise IdentityError
        self._remember(proof, until=looked_at + SEEN_SECONDS)

    def _remember(self, proof: Proof, *, until: float) -> None:
        with self._lock:
            self._seen[proof] = until
            self._seen.move_to_end(proof)
            if len(self._seen) > MOST_SEEN:
                self._seen.popitem(last=False)


def _is_welcome(users: UserRepository, identity: Identity) -> bool:
    """Looks twice: of two first requests at once, one may meet the other's subject too soon."""
    for _look in range(2):
        with suppress(IntegrityError):
            return _see(users, identity)
    return False


def _see(users: UserRepository, identity: Identity) -> bool:
    return users.see(
        is_anonymous=identity.is_anonymous,
        issuer=identity.issuer if identity.subject else None,
        subject=identity.subject,
        name=identity.name,
        dept=identity.dept,
    )


def _reason(users: UserRepository, identity: Identity) -> str:
    """Why somebody is refused, in one word for the log."""
    user = users.find_unique(where={"email": identity.user_email})
    if user and not user.is_active:
        return "deactivated"
    return "another_subject" if user and user.subject else "another_address"
