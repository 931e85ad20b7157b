"""What operators see of users' accounts and may change in them; never what users said."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.exc import ProgrammingError

from ..addresses import canonical_email, is_visitor, visitor_owner
from ..clock import midnight, now
from ..database import Database
from ..errors import InvalidAddressError
from ..ids import parse_id
from ..repositories.users import UserRepository
from .privileges import not_the_owner


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A user's row and the numbers of what is stored, the trash included; a day is one of UTC."""

    email: str
    id: UUID
    is_active: bool
    is_anonymous: bool
    role: str
    issuer: str | None
    subject: str | None
    daily_quota: int | None
    created_at: datetime
    last_seen_at: datetime
    conversations: int
    messages: int
    tokens_today: int


class AccountService:
    """Each method takes an address, or a visitor's `anon:<uuid>`.

    They raise InvalidAddressError when it is neither, RecordNotFoundError when nobody has it.
    Changes count everywhere within five seconds: that long a look at a user's row is remembered.
    """

    def __init__(self, database: Database, *, allow_unicode_local: bool = False) -> None:
        """`database`: as the tables' owner, since the application has no right to change these."""
        self._database = database
        self._allow_unicode_local = allow_unicode_local

    def find_or_raise(self, address: str) -> Account:
        with self._database.statement(self._owner(address)) as session:
            users = UserRepository(session)
            user = users.find_unique_or_raise(where={"email": session.owner})
            stored = users.count_stored(since=midnight())
        return Account(
            email=user.email,
            id=user.id,
            is_active=user.is_active,
            is_anonymous=user.is_anonymous,
            role=user.role,
            issuer=user.issuer,
            subject=user.subject,
            daily_quota=user.daily_quota,
            created_at=user.created_at,
            last_seen_at=user.last_seen_at,
            conversations=stored.conversations,
            messages=stored.messages,
            tokens_today=stored.tokens,
        )

    def release_subject(self, address: str) -> None:
        """Forgets whose the address is: the next token with a subject pins it anew."""
        self._change(address, issuer=None, subject=None)

    def deactivate(self, address: str) -> None:
        """Shuts the user out; what is stored stays."""
        self._change(address, is_active=False)

    def activate(self, address: str) -> None:
        """Lets a deactivated user in again."""
        self._change(address, is_active=True)

    def set_daily_quota(self, address: str, messages: int | None) -> None:
        """How many messages a day the user may send; None: as many as anybody."""
        self._change(address, daily_quota=messages)

    def _change(self, address: str, **values: object) -> None:
        data = {**values, "updated_at": now()}
        try:
            with self._database.statement(self._owner(address)) as session:
                UserRepository(session).update(where={"email": session.owner}, data=data)
        except ProgrammingError:
            raise not_the_owner() from None

    def _owner(self, address: str) -> str:
        if is_visitor(address):
            return _visitor(address)
        return canonical_email(address, allow_unicode_local=self._allow_unicode_local)


def _visitor(owner: str) -> str:
    """The owner name, in the one spelling that it has."""
    visitor_id = parse_id(owner.partition(":")[2])
    if visitor_id is None or visitor_owner(visitor_id) != owner:
        raise InvalidAddressError
    return owner
