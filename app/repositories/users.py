from ..ids import new_id
from ..models import User
from .base import Repository

_SEEN = """
WITH seen AS (
    INSERT INTO users (id, email, name, dept)
    VALUES (%(id)s, %(email)s, %(name)s, %(dept)s)
    ON CONFLICT (email) DO UPDATE SET
        last_seen_at = clock_timestamp(),
        name = coalesce(excluded.name, users.name),
        dept = coalesce(excluded.dept, users.dept)
    RETURNING is_active)
SELECT is_active FROM seen
"""


class UserRepository(Repository[User]):
    model = User
    owner_column = "email"

    def see(self, *, name: str | None, dept: str | None) -> bool:
        """Notes that the owner was here, making the row at first sight; whether it is active."""
        values = {"id": new_id(), "email": self.session.owner, "name": name, "dept": dept}
        return bool(self.session.run(_SEEN, values)[0].is_active)
