"""Who may work on all users' rows: the tables' owner, whom row-level security lets pass."""

from ..errors import SetupError
from ..repositories.stats import sees_all_users
from ..sessions import OperationSession


def insist_on_owner(session: OperationSession) -> None:
    """Raises SetupError when this is not the tables' owner, to whom the tables would look empty."""
    if not sees_all_users(session):
        raise not_the_owner()


def not_the_owner() -> SetupError:
    return SetupError("DATABASE_OWNER_URL must name the tables' owner.")
