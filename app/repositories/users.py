from datetime import datetime
from typing import Any

from ..ids import new_id
from ..models import User
from ..statements import Statement
from .base import Repository

# The subject that came first stays. No row: deactivated, or the address is another subject's.
_SEEN = Statement(
    "seen",
    """
WITH seen AS (
    INSERT INTO users (id, email, is_anonymous, issuer, subject, name, dept)
    VALUES (%(id)s, %(email)s, %(is_anonymous)s, %(issuer)s, %(subject)s, %(name)s, %(dept)s)
    ON CONFLICT (email) DO UPDATE SET
        last_seen_at = clock_timestamp(),
        issuer = coalesce(users.issuer, excluded.issuer),
        subject = coalesce(users.subject, excluded.subject),
        name = coalesce(excluded.name, users.name),
        dept = coalesce(excluded.dept, users.dept)
    WHERE users.is_active AND (users.subject IS NULL
        OR (users.issuer = excluded.issuer AND users.subject = excluded.subject))
    RETURNING id)
SELECT id FROM seen
""",
)

_STORED = """
SELECT count(*) AS conversations, coalesce(sum(message_count), 0)::bigint AS messages, (
    SELECT coalesce(sum(tokens_used), 0)::bigint FROM query_logs
    WHERE user_email = %(email)s AND created_at >= %(since)s) AS tokens
FROM conversations WHERE user_email = %(email)s
"""


class UserRepository(Repository[User]):
    model = User
    owner_column = "email"

    def see(
        self,
        *,
        is_anonymous: bool,
        issuer: str | None,
        subject: str | None,
        name: str | None,
        dept: str | None,
    ) -> bool:
        """Notes that the owner was here, making the row at first sight and pinning the subject.

        False: deactivated, or pinned to another subject. IntegrityError: the subject is pinned
        to another address.
        """
        values = {
            "id": new_id(),
            "email": self.session.owner,
            "is_anonymous": is_anonymous,
            "issuer": issuer,
            "subject": subject,
            "name": name,
            "dept": dept,
        }
        return bool(self.session.run(_SEEN, values))

    def count_stored(self, *, since: datetime) -> Any:
        """How many `conversations` and `messages` there are, and the `tokens` taken `since`."""
        return self.session.run(_STORED, {"email": self.session.owner, "since": since})[0]
