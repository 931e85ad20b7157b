"""Runs the migrations as the tables' owner (DATABASE_OWNER_URL), never as the application."""

from alembic import context
from flask import current_app
from sqlalchemy import create_engine, pool, text

parley = current_app.extensions["parley"]
metadata = parley.metadata


def include_name(name: str | None, kind: str, _parents: object) -> bool:
    """Only our own tables: a host may keep its tables in the same database."""
    return kind != "table" or name in metadata.tables


def run() -> None:
    engine = create_engine(parley.operations.owner_url(), poolclass=pool.NullPool)
    with engine.connect() as connection:
        # A migration that waits for a lock makes everybody behind it wait, too.
        connection.execute(text("SET lock_timeout = '5s'"))
        connection.execute(text("SET statement_timeout = '15min'"))
        connection.commit()
        context.configure(
            connection=connection,
            target_metadata=metadata,
            include_name=include_name,
            compare_type=True,
            compare_server_default=True,
            transaction_per_migration=True,
            version_table="alembic_version",
        )
        with context.begin_transaction():
            context.run_migrations()


run()
