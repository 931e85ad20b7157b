"""Branches that can be cut, lists in each of their orders, and titles that searches find.

A conversation's row is written with every message, so that each index of it costs every append:
the words of a title stand in none. Looking through the titles of one owner is quick enough.
"""

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import sqlalchemy as sa
from alembic import op
from flask import current_app
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

APPLICATION = "parley_app"
SHOWN = "deleted_at IS NULL AND is_published"
NEWEST = (sa.text("updated_at DESC"), sa.text("id DESC"))
TITLES = """
SELECT id, title FROM conversations
WHERE title IS NOT NULL AND (%(after)s::uuid IS NULL OR id > %(after)s::uuid)
ORDER BY id LIMIT 1000
"""
WORDS = "UPDATE conversations SET title_words = %(words)s::tsvector WHERE id = %(id)s"


def upgrade() -> None:
    op.execute(f"GRANT DELETE ON messages TO {APPLICATION}")
    op.add_column(
        "conversations",
        sa.Column(
            "title_words",
            postgresql.TSVECTOR(),
            server_default=sa.text("''::tsvector"),
            nullable=False,
        ),
    )
    search_words = _search_words()
    for row in _titled(op.get_bind()):
        values = {"id": row.id, "words": search_words(row.title)}
        op.get_bind().exec_driver_sql(WORDS, values)
    op.drop_index("ix_conversations_list", "conversations")
    _create_index("list", "is_archived", *NEWEST, where=SHOWN)
    _create_index("pinned", *NEWEST, where=f"is_pinned AND {SHOWN}")
    trashed = (sa.text("deleted_at DESC"), sa.text("id DESC"))
    _create_index("trash", *trashed, where="deleted_at IS NOT NULL")


def downgrade() -> None:
    for name in ("trash", "pinned", "list"):
        op.drop_index(f"ix_conversations_{name}", "conversations")
    _create_index("list", *NEWEST, where=SHOWN)
    op.drop_column("conversations", "title_words")
    op.execute(f"REVOKE DELETE ON messages FROM {APPLICATION}")


def _create_index(name: str, *columns: Any, where: str) -> None:
    op.create_index(
        f"ix_conversations_{name}",
        "conversations",
        ["user_email", *columns],
        postgresql_where=sa.text(where),
    )


def _search_words() -> Callable[[str], str]:
    """The application's own, by whatever name its package is installed."""
    package = type(current_app.extensions["parley"]).__module__.rpartition(".")[0]
    search_words: Callable[[str], str] = import_module(".search_words", package).search_words
    return search_words


def _titled(connection: Any) -> Iterator[Any]:
    """Every conversation with a title, a thousand at a time."""
    after = None
    while rows := connection.exec_driver_sql(TITLES, {"after": after}).all():
        yield from rows
        after = rows[-1].id
