"""The two jobs that row-level security does not allow or slows down, each as narrow as it can be.

`parley_claim_expired_runs` works across owners and gives away whose run is over, never a text.
`parley_search_messages` reads the owner from the statement itself, never from an argument:
`@@` is not leakproof, so that under row-level security the planner would not use the index.
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

CLAIM_EXPIRED_RUNS = """
CREATE FUNCTION parley_claim_expired_runs(max_runs integer)
RETURNS TABLE (run_id uuid, owner text, attempt integer)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp
AS $$
    UPDATE runs SET
        attempt = runs.attempt + 1,
        lease_until = clock_timestamp() + interval '10 seconds'
    WHERE runs.id IN (
        SELECT id FROM runs
        WHERE status = 'running' AND lease_until < clock_timestamp()
        ORDER BY lease_until LIMIT max_runs
        FOR UPDATE SKIP LOCKED)
    RETURNING runs.id, runs.user_email, runs.attempt
$$
"""

SEARCH_MESSAGES = r"""
CREATE FUNCTION parley_search_messages(query tsquery, asked text, max_results integer)
RETURNS TABLE (
    conversation_id uuid, message_id uuid, title text, role text, content text,
    created_at timestamptz, rank real)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
AS $$
    WITH me AS (
        SELECT current_setting('app.user_email', true) AS email),
    mine AS (
        SELECT email,
            ('''@' || replace(replace(email, '\', '\\'), '''', '''''') || '''')::tsquery AS lexeme
        FROM me WHERE email <> '')
    SELECT m.conversation_id, m.id, c.title, m.role, m.content, m.created_at,
        ts_rank_cd(m.search_words, query, 1)
    FROM messages m JOIN conversations c ON c.id = m.conversation_id
    WHERE (m.search_words || array_to_tsvector(ARRAY['@'::text || m.user_email]))
            @@ (query && (SELECT lexeme FROM mine))
        AND m.user_email = (SELECT email FROM mine)
        AND m.is_active AND m.status = 'complete' AND m.content <> asked
        AND m.model IS DISTINCT FROM 'recall'
        AND c.deleted_at IS NULL AND c.is_published
    ORDER BY 7 DESC, m.created_at DESC LIMIT max_results
$$
"""

SIGNATURES = (
    "parley_claim_expired_runs(integer)",
    "parley_search_messages(tsquery, text, integer)",
)


def upgrade() -> None:
    op.execute(CLAIM_EXPIRED_RUNS)
    op.execute(SEARCH_MESSAGES)
    for signature in SIGNATURES:
        op.execute(f"REVOKE ALL ON FUNCTION {signature} FROM PUBLIC")
        op.execute(f"GRANT EXECUTE ON FUNCTION {signature} TO parley_app")


def downgrade() -> None:
    for signature in SIGNATURES:
        op.execute(f"DROP FUNCTION {signature}")
