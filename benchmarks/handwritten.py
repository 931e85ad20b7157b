"""What one writes by hand for the same requests: the least that still is right.

Each endpoint verifies the token strictly, names the owner in its one statement or one Redis
command, and writes JSON with orjson. There is no schema, limit, log, metric, ETag or row-level
security. It is served as Parley is: `gunicorn "benchmarks.handwritten:application()"`.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from queue import LifoQueue
from typing import Any
from uuid import UUID

import jwt
import orjson
import psycopg2
import psycopg2.extras
import redis
from flask import Flask, Response, request
from werkzeug.exceptions import NotFound

from app.ids import new_id
from app.repositories.appending import NewMessage, as_recordset, statement
from app.search_words import search_words

from .stand_in import stand_in

CONNECTIONS = 4  # of a worker, as Parley's pool keeps
_PREPARED: set[Any] = set()  # connections
_COLUMNS = """
id, seq, parent_id, is_active, role, content, status, created_at, parts, client_message_id,
model, finish_reason, error_class, prompt_tokens, completion_tokens, tokens_used,
usage_is_estimated, latency_ms, first_token_ms, retrieved_docs, metadata
"""
_MESSAGES = f"""
SELECT {_COLUMNS} FROM messages WHERE conversation_id = %s AND user_email = %s AND is_active
ORDER BY seq DESC LIMIT %s
"""  # noqa: S608
_LISTED = """
id, title, title_source, preview, mode, model, tags, is_pinned, is_archived, message_count,
total_tokens, revision, rev, created_at, updated_at
"""
_LIST = f"""
SELECT {_LISTED} FROM conversations
WHERE user_email = %s AND deleted_at IS NULL AND is_published AND NOT is_archived
ORDER BY updated_at DESC, id DESC LIMIT %s
"""  # noqa: S608
_LIST_AFTER = _LIST.replace("ORDER", "AND (updated_at, id) < (%s, %s) ORDER")
_CREATE = f"""
INSERT INTO conversations (id, user_email, title, title_words) VALUES (%s, %s, %s, %s)
RETURNING {_LISTED}
"""  # noqa: S608


def run(connection: Any, sql: str, values: Any) -> list[dict[str, Any]]:
    """The rows of a statement, as dicts."""
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        names = [column.name for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def messages(connection: Any, owner: str, conversation_id: str, limit: int) -> list[Any]:
    """The last messages of a conversation, oldest first."""
    return run(connection, _MESSAGES, [conversation_id, owner, limit])[::-1]


class Pool:
    """A few connections, for greenlets that wait for one another."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._idle: LifoQueue[Any] = LifoQueue()
        for _ in range(CONNECTIONS):
            self._idle.put(None)

    @contextmanager
    def connection(self) -> Iterator[Any]:
        found = self._idle.get()
        try:
            found = found or self._connect()
            yield found
        except psycopg2.Error:  # it may be broken
            found = None
            raise
        finally:
            self._idle.put(found)

    def _connect(self) -> Any:
        connection = psycopg2.connect(self._url)
        connection.autocommit = True
        psycopg2.extras.register_default_jsonb(connection, loads=orjson.loads)
        return connection


def key(owner: str, conversation_id: str) -> str:
    """Where a conversation lies in Redis: a list of JSON texts, the record first."""
    return f"handwritten:{owner}:{conversation_id}"


def application() -> Flask:
    app, pool = Flask(__name__), Pool(os.environ["HANDWRITTEN_DATABASE_URL"])
    stand_in(app)

    @app.get("/livez")
    def livez() -> Response:
        return _json({"status": "ok"})

    _serve_reads(app, pool)
    _serve_writes(app, pool)
    return app


def _serve_reads(app: Flask, pool: Pool) -> None:
    cache = redis.Redis.from_url(os.environ["REDIS_URL"])

    @app.get("/cached/<conversation_id>")
    def cached(conversation_id: str) -> Response:
        found = cache.lrange(key(_owner(), conversation_id), 0, -1)
        if not found:
            raise NotFound
        record, *items = found
        return _answer(b'%b,"messages":[%b]}' % (record[:-1], b",".join(items)))

    @app.get("/conversations/<uuid:conversation_id>")
    def read(conversation_id: UUID) -> Response:
        owner, limit = _owner(), int(request.args["limit"])
        with pool.connection() as connection:
            found = messages(connection, owner, str(conversation_id), limit)
        if not found:
            raise NotFound
        return _json({"id": conversation_id, "messages": found})

    @app.get("/conversations")
    def search() -> Response:
        owner, after = _owner(), request.args.get("after")
        sql, place = (_LIST_AFTER, after.split(",")) if after else (_LIST, [])
        with pool.connection() as connection:
            found = run(connection, sql, [owner, *place, 21])
        return _json({"conversations": found[:20], "has_more": len(found) > 20})


def _serve_writes(app: Flask, pool: Pool) -> None:
    @app.post("/conversations/<uuid:conversation_id>/messages")
    def append(conversation_id: UUID) -> Response:
        owner, (said,) = _owner(), orjson.loads(request.get_data())["messages"]
        values = _appended(owner, conversation_id, said)
        with pool.connection() as connection:
            sql = _prepared(connection)
            rows = run(connection, sql, values)
        if not rows:
            raise NotFound
        return _json({"conversation_id": conversation_id, "messages": [said | rows[0]]}, 201)

    @app.post("/conversations")
    def create() -> Response:
        owner, title = _owner(), orjson.loads(request.get_data())["title"]
        with pool.connection() as connection:
            values = [str(new_id()), owner, title, search_words(title)]
            (made,) = run(connection, _CREATE, values)
        return _json(made | {"messages": []}, 201)


def _owner() -> str:
    """Whose token it is."""
    claims = jwt.decode(
        request.headers["Authorization"].removeprefix("Bearer "),
        os.environ["SERVICE_AUTH_SECRET"],
        algorithms=["HS256"],
        audience=os.environ["SERVICE_AUTH_AUDIENCE"],
        issuer=os.environ["SERVICE_AUTH_ISSUER"],
        options={"require": ["exp", "iat", "aud", "iss"], "strict_aud": True},
    )
    return str(claims["email"])


def _appended(owner: str, conversation_id: UUID, said: dict[str, Any]) -> dict[str, Any]:
    """What Parley's own statement takes."""
    content = said["content"]
    message = NewMessage(
        id=new_id(),
        role=said["role"],
        content=content,
        search_words=search_words(content),
        payload_sha256=sha256(orjson.dumps(said)).hexdigest(),
    )
    return {
        "owner": owner,
        "conversation_id": str(conversation_id),
        "messages": as_recordset([message]),
        "count": 1,
        "tokens": 0,
        "leaf_id": str(message.id),
        "title": content[:60],
        "title_words": search_words(content[:60]),
        "preview": content[:100],
        "is_told": False,
    }


def _prepared(connection: Any) -> str:
    """The same statement, prepared once per connection as Parley has it."""
    append = statement(starts_run=False, is_under=False)
    known = append.names if connection in _PREPARED else ()
    _PREPARED.add(connection)
    return append.prepared(known, is_owned=False, is_kept=True)


def _json(value: Any, status: int = 200) -> Response:
    return _answer(orjson.dumps(value, default=str), status)


def _answer(body: bytes, status: int = 200) -> Response:
    return Response(body, status, content_type="application/json")
