from ..sessions import OperationSession

# Before the first migrations there is no such table, or no right to read it: no error, either.
_EXISTS = """
SELECT coalesce(has_table_privilege(to_regclass('alembic_version'), 'SELECT'), false) AS is_there
"""
_APPLIED = "SELECT version_num FROM alembic_version"


def applied_migration(session: OperationSession) -> str | None:
    """The number of the last migration that this database has, None when it has none."""
    if not session.run(_EXISTS, {})[0].is_there:
        return None
    rows = session.run(_APPLIED, {})
    return rows[0].version_num if rows else None
