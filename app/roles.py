"""What each new connection must pass: that row-level security binds whoever we are connected as."""

from collections.abc import Iterable
from typing import Any

import structlog

from .errors import UnsafeRoleError

log = structlog.get_logger(__name__)

# Both users are asked about: RESET ROLE leads back to session_user, and SET ROLE to every role of
# which one of them is a member, however indirectly, and whether it inherits or not. Who owns the
# database or the schema can change what the tables' owner runs there, migrated yet or not.
_FAULTS = """
WITH asked AS (
    SELECT oid, rolname, rolsuper FROM pg_roles WHERE rolname IN (current_user, session_user)),
tables AS (
    SELECT c.oid, c.relname, c.relowner, c.relrowsecurity AND c.relforcerowsecurity AS is_forced
    FROM unnest(%(tables)s::text[]) AS name JOIN pg_class c ON c.oid = to_regclass(name)),
mighty AS (
    SELECT r.oid, r.rolname, what.fault FROM pg_roles r CROSS JOIN LATERAL (VALUES
        (r.rolsuper, 'is a superuser'),
        (r.rolbypassrls, 'has BYPASSRLS'),
        (r.rolcreaterole, 'has CREATEROLE'),
        (r.rolreplication, 'has REPLICATION'),
        (r.rolname IN ('pg_read_server_files', 'pg_write_server_files',
            'pg_execute_server_program'), 'reaches the server''s files'),
        (r.oid IN (SELECT relowner FROM tables), 'owns the tables'),
        (r.oid IN (SELECT datdba FROM pg_database WHERE datname = current_database()),
            'owns the database'),
        (r.oid IN (SELECT nspowner FROM pg_namespace WHERE nspname = current_schema()),
            'owns the schema')) AS what (is_true, fault)
    WHERE what.is_true),
faults (fault) AS (
    SELECT a.rolname || CASE WHEN m.oid = a.oid THEN ' '
        ELSE ' is a member of ' || m.rolname || ', which ' END || m.fault
    FROM asked a JOIN mighty m ON m.oid = a.oid
        OR NOT a.rolsuper AND pg_has_role(a.oid, m.oid, 'MEMBER')
    UNION ALL
    SELECT relname || ' does not force row-level security' FROM tables WHERE NOT is_forced
    UNION ALL
    SELECT t.relname || ' has the policy ' || p.polname || ', which does not ask for the owner'
    FROM tables t JOIN pg_policy p ON p.polrelid = t.oid AND p.polpermissive
    WHERE EXISTS (SELECT FROM unnest(p.polroles) AS role, asked a
            WHERE role = 0 OR role <> t.relowner AND pg_has_role(a.oid, role, 'MEMBER'))
        AND EXISTS (SELECT FROM (VALUES (p.polqual), (p.polwithcheck)) AS its (said)
            WHERE strpos(pg_get_expr(said, t.oid), 'app.user_email') = 0))
SELECT current_user, current_setting('statement_timeout') = '0', ARRAY(SELECT fault FROM faults)
"""


class RoleGuard:
    """Refuses connections that could walk around row-level security; see `check`."""

    def __init__(self, tables: Iterable[str]) -> None:
        """`tables`: the names of those that hold users' rows. They need not exist yet."""
        self._tables = list(tables)
        self._has_warned = False

    def check(self, connection: Any, _record: object = None) -> None:
        """Raises UnsafeRoleError, which names the role and all that is wrong, in one query.

        A connection without a time limit for statements is no fault; it is logged, once.
        """
        with connection.cursor() as cursor:
            cursor.execute(_FAULTS, {"tables": self._tables})
            role, is_unlimited, faults = cursor.fetchone()
        connection.rollback()
        if faults:
            log.error("unsafe_role", role=role, faults=faults)
            raise UnsafeRoleError(
                f"Row-level security does not hold for the database role {role}: "
                f"{'; '.join(faults)}."
            )
        if is_unlimited and not self._has_warned:
            self._has_warned = True
            log.warning("timeouts_missing", role=role)
