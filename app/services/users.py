"""The users' rows: made at first sight, looked at again every few seconds."""

import time
from collections import OrderedDict
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
        Raises IdentityError for a deactivated user, and for an address of another subject.
        """
        proof = (identity.user_email, identity.issuer, identity.subject)
        if self._seen.get(proof, 0.0) > time.monotonic():
            return
        looked_at = time.monotonic()
        if not self._is_welcome(identity):
            raise IdentityError
        self._remember(proof, until=looked_at + SEEN_SECONDS)

    def _is_welcome(self, identity: Identity) -> bool:
        try:
            with self._database.statement(identity.user_email) as session:
                return UserRepository(session).see(
                    is_anonymous=identity.is_anonymous,
                    issuer=identity.issuer if identity.subject else None,
                    subject=identity.subject,
                    name=identity.name,
                    dept=identity.dept,
                )
        except IntegrityError:
            log.warning("subject_has_another_address")
            return False

    def _remember(self, proof: Proof, *, until: float) -> None:
        with self._lock:
            self._seen[proof] = until
            self._seen.move_to_end(proof)
            if len(self._seen) > MOST_SEEN:
                self._seen.popitem(last=False)
