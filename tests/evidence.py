"""What is held against the application: rows as they are stored, problems as they are written."""

from sqlalchemy import NullPool, create_engine, text

_PROBLEM = {"type", "title", "status", "detail", "instance", "code", "request_id", "errors"}
_INTERNALS = (b"Traceback", b"psycopg", b"sqlalchemy", b"werkzeug", b"marshmallow", b".py")
_OWNED_TABLES = """
SELECT DISTINCT ON (c.relname) c.relname AS name, a.attname AS owner_column
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace
    AND a.attname IN ('user_email', 'email') AND NOT a.attisdropped
ORDER BY c.relname, a.attname DESC
"""


class Rows:
    """Every table's rows as the tables' owner sees them, past row-level security."""

    def __init__(self, owner_url):
        self._engine = create_engine(owner_url, isolation_level="AUTOCOMMIT", poolclass=NullPool)

    def run(self, statement, **values):
        with self._engine.connect() as connection:
            result = connection.execute(text(statement), values)
            return result.all() if result.returns_rows else []

    def owned_tables(self):
        """Tables with an owner's column: their names and its."""
        return [tuple(row) for row in self.run(_OWNED_TABLES)]

    def of(self, email):
        """All that is stored of somebody, by table; but for when they were seen last."""
        with self._engine.connect() as connection:
            tables = connection.execute(text(_OWNED_TABLES)).all()
            return {
                name: connection.execute(
                    text(
                        f"SELECT (to_jsonb(t) - 'last_seen_at')::text FROM {name} t "
                        f"WHERE {column} = :email ORDER BY 1"
                    ),
                    {"email": email},
                )
                .scalars()
                .all()
                for name, column in tables
            }


def assert_problem(answer, status, code=None):
    """The problem that `answer` is; it must be whole and show nothing of how Parley is made."""
    assert answer.status_code == status, answer.data
    assert answer.content_type == "application/problem+json"
    problem = answer.json
    assert problem.keys() >= _PROBLEM
    assert problem["status"] == status
    assert code in (None, problem["code"])
    assert problem["type"] == f"urn:parley:error:{problem['code']}"
    assert problem["request_id"] == answer.headers.get("X-Request-Id", problem["request_id"])
    assert problem["detail"]
    assert problem["title"]
    assert not [word for word in _INTERNALS if word in answer.data]
    return problem


def refused(answer):
    """What is told to who proves no identity."""
    problem = assert_problem(answer, 401, "unauthorized")
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert problem["errors"] == []
    return problem["detail"]


def pointers(problem):
    """Which fields a problem names."""
    return {fault["pointer"] for fault in problem["errors"]}
