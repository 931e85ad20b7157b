"""The tables of conversations, their runs and the usage ledger."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

USERS_EMAIL = """octet_length(email) BETWEEN 3 AND 254
AND email COLLATE "C" !~ '[A-Z[:cntrl:][:space:]]'
AND (email ~ '^[^@]+@[^@]+$' OR email ~ '^anon:[0-9a-f-]{36}$')"""


def upgrade() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("avatar_url", sa.Text(), nullable=True),
        sa.Column("dept", sa.Text(), nullable=True),
        sa.Column("role", sa.Text(), server_default=sa.text("'user'"), nullable=False),
        sa.Column("is_anonymous", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("anonymous_secret_hash", sa.Text(), nullable=True),
        sa.Column("converted_at", postgresql.TIMESTAMP(timezone=True, precision=3), nullable=True),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("issuer", sa.Text(), nullable=True),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.Column("daily_quota", sa.Integer(), nullable=True),
        sa.Column(
            "preferences",
            postgresql.JSONB(),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column(
            "created_at",
            postgresql.TIMESTAMP(timezone=True, precision=3),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            postgresql.TIMESTAMP(timezone=True, precision=3),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "last_seen_at",
            postgresql.TIMESTAMP(timezone=True, precision=3),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint("role IN ('user', 'admin')", name=op.f("ck_users_role")),
        sa.CheckConstraint("daily_quota >= 0", name=op.f("ck_users_daily_quota")),
        sa.CheckConstraint(
            USERS_EMAIL,
            name=op.f("ck_users_email"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("email", name=op.f("uq_users_email")),
    )
    op.create_index(
        "uq_users_issuer_subject",
        "users",
        ["issuer", "subject"],
        unique=True,
        postgresql_where=sa.text("subject IS NOT NULL"),
    )
    op.create_table(
        "conversations",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_email", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=True),
        sa.Column("title_source", sa.Text(), server_default=sa.text("'auto'"), nullable=False),
        sa.Column("preview", sa.Text(), nullable=True),
        sa.Column("mode", sa.Text(), nullable=True),
        sa.Column("model", sa.Text(), nullable=True),
        sa.Column("system_prompt", sa.Text(), nullable=True),
        sa.Column(
            "tags", sa.ARRAY(sa.Text()), server_default=sa.text("'{}'::text[]"), nullable=False
        ),
        sa.Column("is_pinned", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("is_archived", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column(
            "metadata",
            postgresql.JSONB(),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column("message_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("total_tokens", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("next_seq", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.Column("revision", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.Column("rev", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("active_leaf_id", sa.Uuid(), nullable=True),
        sa.Column("storage_state", sa.Text(), server_default=sa.text("'live'"), nullable=False),
        sa.Column("import_batch_id", sa.Uuid(), nullable=True),
        sa.Column("is_published", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("source", sa.Text(), nullable=True),
        sa.Column("source_id", sa.Text(), nullable=True),
        sa.Column(
            "created_at",
            postgresql.TIMESTAMP(timezone=True, precision=3),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            postgresql.TIMESTAMP(timezone=True, precision=3),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("ended_at", postgresql.TIMESTAMP(timezone=True, precision=3), nullable=True),
        sa.Column("deleted_at", postgresql.TIMESTAMP(timezone=True, precision=3), nullable=True),
        sa.CheckConstraint(
            "mode IN ('fast', 'balanced', 'quality', 'adaptive')",
            name=op.f("ck_conversations_mode"),
        ),
        sa.CheckConstraint(
            "storage_state IN ('live', 'archiving', 'archived', 'restoring')",
            name=op.f("ck_conversations_storage_state"),
        ),
        sa.CheckConstraint(
            "title_source IN ('auto', 'user', 'import')", name=op.f("ck_conversations_title_source")
        ),
        sa.CheckConstraint(
            "char_length(source_id) <= 512", name=op.f("ck_conversations_source_id")
        ),
        sa.CheckConstraint("char_length(title) <= 500", name=op.f("ck_conversations_title")),
        sa.CheckConstraint(
            "message_count >= 0 AND total_tokens >= 0 AND next_seq > 0 AND revision > 0",
            name=op.f("ck_conversations_counters"),
        ),
        sa.ForeignKeyConstraint(
            ["user_email"],
            ["users.email"],
            name=op.f("fk_conversations_user_email_users"),
            onupdate="CASCADE",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_conversations")),
        sa.UniqueConstraint("id", "user_email", name=op.f("uq_conversations_id_user_email")),
        sa.UniqueConstraint(
            "user_email",
            "source",
            "source_id",
            name=op.f("uq_conversations_user_email_source_source_id"),
        ),
    )
    op.create_index(
        "ix_conversations_list",
        "conversations",
        ["user_email", sa.text("updated_at DESC"), sa.text("id DESC")],
        unique=False,
        postgresql_where=sa.text("deleted_at IS NULL AND is_published"),
    )
    op.create_index(
        "ix_conversations_metadata",
        "conversations",
        ["metadata"],
        unique=False,
        postgresql_using="gin",
    )
    op.create_index(
        "ix_conversations_tags", "conversations", ["tags"], unique=False, postgresql_using="gin"
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("user_email", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("request_sha256", postgresql.BYTEA(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("response", postgresql.JSONB(), nullable=True),
        sa.Column(
            "created_at",
            postgresql.TIMESTAMP(timezone=True, precision=3),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("finished_at", postgresql.TIMESTAMP(timezone=True, precision=3), nullable=True),
        sa.CheckConstraint(
            "status IN ('started', 'finished')", name=op.f("ck_idempotency_keys_status")
        ),
        sa.CheckConstraint(
            "char_length(key) BETWEEN 1 AND 255", name=op.f("ck_idempotency_keys_key")
        ),
        sa.ForeignKeyConstraint(
            ["user_email"],
            ["users.email"],
            name=op.f("fk_idempotency_keys_user_email_users"),
            onupdate="CASCADE",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("user_email", "key", name=op.f("pk_idempotency_keys")),
    )
    op.create_table(
        "query_logs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_email", sa.Text(), nullable=True),
        sa.Column("sid", sa.Text(), nullable=True),
        sa.Column("conversation_id", sa.Uuid(), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.Column("query", sa.Text(), nullable=True),
        sa.Column("mode", sa.Text(), nullable=True),
        sa.Column("model", sa.Text(), nullable=True),
        sa.Column("contexts_retrieved", sa.Integer(), nullable=False),
        sa.Column("tokens_used", sa.Integer(), nullable=True),
        sa.Column("response_time_ms", sa.Integer(), nullable=True),
        sa.Column("first_token_ms", sa.Integer(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("error_class", sa.Text(), nullable=True),
        sa.Column(
            "created_at",
            postgresql.TIMESTAMP(timezone=True, precision=3),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["user_email"],
            ["users.email"],
            name=op.f("fk_query_logs_user_email_users"),
            onupdate="CASCADE",
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_query_logs")),
    )
    op.create_index("ix_query_logs_conversation", "query_logs", ["conversation_id"], unique=False)
    op.create_index("ix_query_logs_day", "query_logs", ["user_email", "created_at"], unique=False)
    op.create_table(
        "messages",
        sa.Column("conversation_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_email", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("parent_id", sa.Uuid(), nullable=True),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("parts", postgresql.JSONB(), nullable=True),
        sa.Column("status", sa.Text(), server_default=sa.text("'complete'"), nullable=False),
        sa.Column("client_message_id", sa.Text(), nullable=True),
        sa.Column("payload_sha256", postgresql.BYTEA(), nullable=True),
        sa.Column("model", sa.Text(), nullable=True),
        sa.Column("finish_reason", sa.Text(), nullable=True),
        sa.Column("error_class", sa.Text(), nullable=True),
        sa.Column("prompt_tokens", sa.Integer(), nullable=True),
        sa.Column("completion_tokens", sa.Integer(), nullable=True),
        sa.Column("tokens_used", sa.Integer(), nullable=True),
        sa.Column(
            "usage_is_estimated", sa.Boolean(), server_default=sa.text("false"), nullable=False
        ),
        sa.Column("latency_ms", sa.Integer(), nullable=True),
        sa.Column("first_token_ms", sa.Integer(), nullable=True),
        sa.Column("retrieved_docs", postgresql.JSONB(), nullable=True),
        sa.Column("reranker_used", sa.Boolean(), nullable=True),
        sa.Column("rating", sa.SmallInteger(), nullable=True),
        sa.Column("rating_comment", sa.Text(), nullable=True),
        sa.Column(
            "metadata",
            postgresql.JSONB(),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column("source_id", sa.Text(), nullable=True),
        sa.Column(
            "search_words",
            postgresql.TSVECTOR(),
            server_default=sa.text("''::tsvector"),
            nullable=False,
        ),
        sa.Column(
            "created_at",
            postgresql.TIMESTAMP(timezone=True, precision=3),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            postgresql.TIMESTAMP(timezone=True, precision=3),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "role IN ('user', 'assistant', 'system', 'tool')", name=op.f("ck_messages_role")
        ),
        sa.CheckConstraint(
            "status IN ('complete', 'streaming', 'interrupted', 'failed', 'cancelled')",
            name=op.f("ck_messages_status"),
        ),
        sa.CheckConstraint(
            "char_length(client_message_id) <= 64", name=op.f("ck_messages_client_message_id")
        ),
        sa.CheckConstraint("parent_id <> id", name=op.f("ck_messages_parent_id")),
        sa.CheckConstraint("rating BETWEEN -1 AND 5", name=op.f("ck_messages_rating")),
        sa.ForeignKeyConstraint(
            ["conversation_id", "parent_id"],
            ["messages.conversation_id", "messages.id"],
            name="fk_messages_parent",
        ),
        sa.ForeignKeyConstraint(
            ["conversation_id", "user_email"],
            ["conversations.id", "conversations.user_email"],
            name=op.f("fk_messages_conversation_id_user_email_conversations"),
            onupdate="CASCADE",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("conversation_id", "id", name=op.f("pk_messages")),
        sa.UniqueConstraint("conversation_id", "seq", name=op.f("uq_messages_conversation_id_seq")),
    )
    op.create_index(
        "ix_messages_parent", "messages", ["conversation_id", "parent_id"], unique=False
    )
    op.create_index(
        "ix_messages_search",
        "messages",
        [sa.text("(search_words || array_to_tsvector(ARRAY['@'::text || user_email]))")],
        unique=False,
        postgresql_using="gin",
    )
    op.create_index(
        "uq_messages_client_message_id",
        "messages",
        ["conversation_id", "client_message_id"],
        unique=True,
        postgresql_where=sa.text("client_message_id IS NOT NULL"),
    )
    op.create_index(
        "uq_messages_live_attempt",
        "messages",
        ["conversation_id", "parent_id"],
        unique=True,
        postgresql_where=sa.text("status = 'streaming'"),
        postgresql_nulls_not_distinct=True,
    )
    op.create_table(
        "runs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("conversation_id", sa.Uuid(), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.Column("user_email", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("status", sa.Text(), server_default=sa.text("'running'"), nullable=False),
        sa.Column("lease_until", postgresql.TIMESTAMP(timezone=True, precision=3), nullable=False),
        sa.Column("stop_requested", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column(
            "created_at",
            postgresql.TIMESTAMP(timezone=True, precision=3),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("ended_at", postgresql.TIMESTAMP(timezone=True, precision=3), nullable=True),
        sa.CheckConstraint(
            "status IN ('running', 'complete', 'interrupted', 'failed', 'cancelled')",
            name=op.f("ck_runs_status"),
        ),
        sa.ForeignKeyConstraint(
            ["conversation_id", "message_id"],
            ["messages.conversation_id", "messages.id"],
            name=op.f("fk_runs_conversation_id_message_id_messages"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["conversation_id", "user_email"],
            ["conversations.id", "conversations.user_email"],
            name=op.f("fk_runs_conversation_id_user_email_conversations"),
            onupdate="CASCADE",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_runs")),
        sa.UniqueConstraint("id", "user_email", name=op.f("uq_runs_id_user_email")),
    )
    op.create_index(
        "ix_runs_lease",
        "runs",
        ["lease_until"],
        unique=False,
        postgresql_where=sa.text("status = 'running'"),
    )
    op.create_index(
        "ix_runs_live",
        "runs",
        ["user_email"],
        unique=False,
        postgresql_where=sa.text("status = 'running'"),
    )
    op.create_index("ix_runs_message", "runs", ["conversation_id", "message_id"], unique=False)
    op.create_table(
        "run_chunks",
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("n", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("user_email", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id", "user_email"],
            ["runs.id", "runs.user_email"],
            name=op.f("fk_run_chunks_run_id_user_email_runs"),
            onupdate="CASCADE",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("run_id", "n", name=op.f("pk_run_chunks")),
    )
    # Room on the page for HOT updates: each append touches the first, each lease the second.
    op.execute("ALTER TABLE conversations SET (fillfactor = 80)")
    op.execute("ALTER TABLE runs SET (fillfactor = 70)")


def downgrade() -> None:
    for table in (
        "run_chunks",
        "runs",
        "messages",
        "query_logs",
        "idempotency_keys",
        "conversations",
        "users",
    ):
        op.drop_table(table)
