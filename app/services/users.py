"""The users' rows: made at first sight, looked at again every few seconds."""

import time
from collections import OrderedDict
from threading import Lock

from ..database import Database
from ..errors import IdentityError
from ..repositories.users import UserRepository
from .identity import Identity

SEEN_SECONDS = 5.0
MOST_SEEN = 10_000


class UserService:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._seen: OrderedDict[str, float] = OrderedDict()
        self._lock = Lock()

    def see(self, identity: Identity) -> None:
        """Makes sure of a row for who asks. Raises IdentityError for a deactivated user.

        Remembers for `SEEN_SECONDS`, so that a request in a conversation costs no query for it.
        """
        email = identity.user_email
        if self._seen.get(email, 0.0) > time.monotonic():
            return
        with self._database.statement(email) as session:
            is_active = UserRepository(session).see(name=identity.name, dept=identity.dept)
        if not is_active:
            raise IdentityError
        self._remember(email)

    def _remember(self, email: str) -> None:
        with self._lock:
            self._seen[email] = time.monotonic() + SEEN_SECONDS
            self._seen.move_to_end(email)
            if len(self._seen) > MOST_SEEN:
                self._seen.popitem(last=False)
