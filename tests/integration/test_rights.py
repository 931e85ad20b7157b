"""What the application's role may do: what it needs, and nothing that would open the wall."""

import psycopg2

# None: not even to read.
GRANTED = {
    "users": {
        "INSERT": "id email is_anonymous issuer subject name dept preferences",
        "UPDATE": "name dept preferences updated_at last_seen_at issuer subject",
    },
    "conversations": {"INSERT": "*", "UPDATE": "*", "DELETE": "*"},
    "messages": {"INSERT": "*", "UPDATE": "*", "DELETE": "*"},
    "runs": {"INSERT": "*", "UPDATE": "attempt status lease_until stop_requested ended_at"},
    "run_chunks": {"INSERT": "*", "DELETE": "*"},
    "query_logs": {"INSERT": "*", "UPDATE": "query"},
    "idempotency_keys": {"INSERT": "*", "UPDATE": "status response finished_at"},
    "cache_outbox": None,
    "alembic_version": {},
}
GRANTS = """
SELECT c.relname, a.privilege_type, '*' FROM pg_class c, aclexplode(c.relacl) a
WHERE c.relnamespace = 'public'::regnamespace AND a.grantee <> c.relowner
UNION ALL
SELECT c.relname, a.privilege_type, string_agg(t.attname, ' ')
FROM pg_attribute t JOIN pg_class c ON c.oid = t.attrelid, aclexplode(t.attacl) a
WHERE c.relnamespace = 'public'::regnamespace AND a.grantee <> c.relowner GROUP BY 1, 2
"""
FORBIDDEN = (
    "ALTER TABLE conversations DISABLE ROW LEVEL SECURITY",
    "ALTER TABLE conversations NO FORCE ROW LEVEL SECURITY",
    "DROP POLICY own_rows ON conversations",
    "CREATE POLICY all_rows ON conversations USING (true)",
    "ALTER POLICY own_rows ON conversations USING (true)",
    "ALTER TABLE conversations OWNER TO parley_app",
    "SET row_security = off; SELECT count(*) FROM conversations",
    "SET ROLE parley_owner",
    "SET ROLE postgres",
    "SET ROLE pg_read_all_data",
    "SET ROLE pg_database_owner",
    "SET session_replication_role = replica",
    "ALTER SYSTEM SET row_security = off",
    "ALTER DATABASE {database} SET row_security = off",
    "ALTER DATABASE {database} OWNER TO parley_app",
    "ALTER SCHEMA public OWNER TO parley_app",
    "ALTER ROLE parley_owner SET app.user_email = 'a@example.com'",
    "ALTER FUNCTION parley_search_messages SECURITY INVOKER",
    "ALTER FUNCTION parley_search_messages SET search_path = pg_temp",
    "SET SESSION AUTHORIZATION parley_owner",
    "SET session_authorization = 'postgres'",
    "ALTER ROLE parley_app BYPASSRLS",
    "ALTER ROLE parley_app SUPERUSER",
    "GRANT parley_owner TO parley_app",
    "CREATE ROLE somebody",
    "CREATE TABLE mine (id int)",
    "CREATE TEMP TABLE conversations (id int)",
    "CREATE SCHEMA mine",
    "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE OR REPLACE FUNCTION parley_claim_expired_runs(max_runs integer) "
    "RETURNS TABLE (run_id uuid, owner text, attempt integer, cause text) "
    "LANGUAGE sql AS 'SELECT'",
    "ALTER FUNCTION parley_keep_runs SECURITY INVOKER",
    "DROP TABLE messages",
    "TRUNCATE messages",
    "DELETE FROM users",
    "DELETE FROM runs",
    "DELETE FROM idempotency_keys",
    "UPDATE runs SET user_email = user_email",
    "UPDATE runs SET message_id = id",
    "UPDATE idempotency_keys SET request_sha256 = ''",
    "UPDATE run_chunks SET text = ''",
    "UPDATE users SET daily_quota = NULL",
    "INSERT INTO users (id, email, role) VALUES (gen_random_uuid(), 'a@example.com', 'admin')",
    "INSERT INTO users (id, email, is_active) VALUES (gen_random_uuid(), 'a@example.com', true)",
    "INSERT INTO users (id, email, daily_quota) VALUES (gen_random_uuid(), 'a@b.com', 9)",
    "CREATE TRIGGER t BEFORE INSERT ON messages FOR EACH ROW EXECUTE FUNCTION now()",
    "CREATE VIEW mine AS TABLE messages",
    "UPDATE users SET is_active = true",
    "UPDATE users SET role = 'admin'",
    "UPDATE users SET email = 'somebody@example.com'",
    "DELETE FROM query_logs",
    "UPDATE query_logs SET tokens_used = 0",
    "UPDATE alembic_version SET version_num = '0'",
    "TABLE cache_outbox",
    "INSERT INTO cache_outbox (conversation_id) VALUES (gen_random_uuid())",
    "DELETE FROM cache_outbox",
    "COPY conversations TO PROGRAM 'cat'",
    "SELECT pg_read_file('/etc/passwd')",
)
# Each job that works across owners, or past the policies, with all that it takes and gives.
WORKS_AS_OWNER = {
    "parley_activity()": "TABLE(active_conversations bigint)",
    "parley_cache_standing(max_notes integer)": (
        "TABLE(epoch text, conversation_id uuid, note bigint, version bigint)"
    ),
    "parley_changes_are_known(seconds double precision)": "boolean",
    "parley_claim_expired_runs(max_runs integer)": (
        "TABLE(run_id uuid, owner text, attempt integer, cause text)"
    ),
    "parley_forget_changes(notes bigint[])": "bigint",
    "parley_keep_runs(ids uuid[], owners text[], attempts integer[], numbers integer[], "
    "texts text[], seconds integer)": "TABLE(run_id uuid, lease text)",
    "parley_note_changes(ids uuid[])": "void",
    "parley_note_deleted()": "trigger",
    "parley_note_in_doubt(ids uuid[], seconds double precision)": "void",
    "parley_search(query tsquery, ranking tsquery, in_conversation uuid, of_role text, "
    "with_tag text, since timestamp with time zone, until timestamp with time zone, "
    "after_rank real, after_created_at timestamp with time zone, after_id uuid, "
    "max_scanned integer, max_ranked integer, max_read integer, max_results integer)": (
        "TABLE(kind text, conversation_id uuid, title text, message_id uuid, role text, "
        "is_active boolean, created_at timestamp with time zone, rank real, text text)"
    ),
    "parley_search_messages(query tsquery, asked text, max_results integer)": (
        "TABLE(conversation_id uuid, message_id uuid, title text, role text, content text, "
        "created_at timestamp with time zone, rank real)"
    ),
}
FUNCTIONS = """
SELECT format('%s(%s)', proname, pg_get_function_identity_arguments(oid)) AS signature,
    pg_get_function_result(oid) AS result, proowner::regrole::text AS owner, proconfig,
    ARRAY(SELECT grantee::regrole::text FROM aclexplode(proacl)) AS executors
FROM pg_proc
WHERE prosecdef AND pronamespace::regnamespace::text NOT IN ('pg_catalog', 'information_schema')
"""


def test_the_applications_role_may_not(connection):
    undenied = {}
    with connection.cursor() as cursor:
        for statement in FORBIDDEN:
            try:
                cursor.execute(statement.format(database=connection.info.dbname))
                undenied[statement] = "done"
            except psycopg2.errors.InsufficientPrivilege:
                pass
            except psycopg2.Error as error:
                undenied[statement] = str(error)
    assert undenied == {}


def test_the_applications_role_is_a_plain_one(connection):
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication, "
            "(SELECT count(*) FROM pg_auth_members WHERE member = r.oid), "
            "(SELECT count(*) FROM pg_class WHERE relowner = r.oid) "
            "FROM pg_roles r WHERE rolname = current_user"
        )
        assert cursor.fetchone() == (False, 0, 0)


def test_functions_that_work_as_the_tables_owner_are_known_and_closed_to_tricks(rows):
    functions = rows.run(FUNCTIONS.replace("::", "\\:\\:"))
    assert {function.signature: function.result for function in functions} == WORKS_AS_OWNER
    for function in functions:
        assert function.owner == "parley_owner"
        callers = set() if function.result == "trigger" else {"parley_app"}
        assert set(function.executors) == callers | {"parley_owner"}
        assert function.proconfig == ["search_path=public, pg_temp"]


def test_the_application_has_the_rights_that_it_uses_and_no_other(connection):
    granted = {name: {} for name in GRANTED}
    with connection.cursor() as cursor:
        cursor.execute(GRANTS)
        for table, right, columns in cursor.fetchall():
            granted[table][right] = set(columns.split())
    for table, rights in GRANTED.items():
        expected = {right: set(columns.split()) for right, columns in (rights or {}).items()}
        reads = {} if rights is None else {"SELECT": {"*"}}
        assert granted[table] == expected | reads, table
