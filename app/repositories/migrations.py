from ..database import OwnedSession

# Before the first migration there is no such table, and that is no error.
_EXISTS = "SELECT to_regclass('alembic_version') IS NOT NULL AS is_there"
_APPLIED = "SELECT version_num FROM alembic_version"


def applied_migration(session: OwnedSession) -> str | None:
    """The number of the last migration that this database has, None when it has none."""
    if not session.run(_EXISTS, {})[0].is_there:
        return None
    rows = session.run(_APPLIED, {})
    return rows[0].version_num if rows else None
