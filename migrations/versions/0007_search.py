"""What searches over own messages and titles read.

`parley_search` reads the owner from the statement itself, never from an argument: `@@` is not
leakproof, so that under row-level security the planner would not use the index. Matches of
messages come first and alone, so that no filter can talk the planner out of that index.
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

# Texts whose words do not have all their positions say so from now on: those with more than
# 16,383 words, or with one word more than 255 times. A word takes two bytes at least.
MARK = """
UPDATE messages SET search_words = search_words || array_to_tsvector(ARRAY['…'])
WHERE octet_length(content) > 32000 OR octet_length(content) > 500 AND EXISTS (
    SELECT FROM unnest(search_words) AS word WHERE cardinality(word.positions) = 255)
"""
UNMARK = """
UPDATE messages SET search_words = ts_delete(search_words, '…')
WHERE octet_length(content) > 500 AND search_words @@ '…'
"""
SEARCH = r"""
CREATE FUNCTION parley_search(
    query tsquery, ranking tsquery, in_conversation uuid, of_role text, with_tag text,
    since timestamptz, until timestamptz,
    after_rank real, after_created_at timestamptz, after_id uuid,
    max_scanned integer, max_ranked integer, max_read integer, max_results integer)
RETURNS TABLE (
    kind text, conversation_id uuid, title text, message_id uuid, role text, is_active boolean,
    created_at timestamptz, rank real, text text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
AS $$
    WITH me AS (
        SELECT current_setting('app.user_email', true) AS email),
    mine AS (
        SELECT email,
            ('''@' || replace(replace(email, '\', '\\'), '''', '''''') || '''')::tsquery AS lexeme
        FROM me WHERE email <> ''),
    way AS (
        SELECT lexeme, max_scanned > 0 AND max_scanned >= (
            SELECT coalesce(sum(message_count), 0) FROM conversations c
            WHERE c.user_email = mine.email) AS is_scan
        FROM mine),
    matches AS MATERIALIZED (
        SELECT m.conversation_id, m.id, m.created_at
        FROM messages m
        WHERE (m.search_words || array_to_tsvector(ARRAY['@'::text || m.user_email]))
                @@ (SELECT CASE WHEN is_scan THEN lexeme ELSE query && lexeme END FROM way)
            AND m.user_email = (SELECT email FROM mine)
            AND (NOT (SELECT is_scan FROM way) OR m.search_words @@ query)
            AND m.status <> 'streaming'
            AND (of_role IS NULL OR m.role = of_role)
            AND (since IS NULL OR m.created_at >= since)
            AND (until IS NULL OR m.created_at < until)),
    own AS NOT MATERIALIZED (
        SELECT c.id, c.title, c.title_words, c.created_at
        FROM conversations c
        WHERE c.user_email = (SELECT email FROM mine)
            AND c.deleted_at IS NULL AND c.is_published
            AND (in_conversation IS NULL OR c.id = in_conversation)
            AND (with_tag IS NULL OR with_tag = ANY (c.tags))),
    newest AS (
        SELECT t.conversation_id, t.id, c.title
        FROM matches t JOIN own c ON c.id = t.conversation_id
        ORDER BY t.created_at DESC, t.id DESC LIMIT max_ranked),
    ranked AS (
        SELECT 'message' AS kind, n.conversation_id, n.title, n.id AS message_id, m.role,
            m.is_active, m.created_at, ts_rank_cd(m.search_words, ranking, 1) AS rank, n.id
        FROM newest n JOIN messages m ON m.conversation_id = n.conversation_id AND m.id = n.id
        UNION ALL
        SELECT 'title', c.id, c.title, NULL, NULL, true, c.created_at,
            2 * ts_rank_cd(c.title_words, ranking, 1), c.id
        FROM own c
        WHERE c.title_words @@ query AND of_role IS NULL
            AND (since IS NULL OR c.created_at >= since)
            AND (until IS NULL OR c.created_at < until)),
    page AS (
        SELECT * FROM ranked r
        WHERE after_rank IS NULL
            OR (r.rank, r.created_at, r.id) < (after_rank, after_created_at, after_id)
        ORDER BY r.rank DESC, r.created_at DESC, r.id DESC LIMIT max_results)
    SELECT p.kind, p.conversation_id, p.title, p.message_id, p.role, p.is_active, p.created_at,
        p.rank, left(coalesce(m.content, p.title), max_read)
    FROM page p
    LEFT JOIN messages m ON m.conversation_id = p.conversation_id AND m.id = p.message_id
    ORDER BY p.rank DESC, p.created_at DESC, p.id DESC
$$
"""
SIGNATURE = (
    "parley_search(tsquery, tsquery, uuid, text, text, timestamptz, timestamptz, "
    "real, timestamptz, uuid, integer, integer, integer, integer)"
)


def upgrade() -> None:
    op.execute(MARK)
    op.execute(SEARCH)
    op.execute(f"REVOKE ALL ON FUNCTION {SIGNATURE} FROM PUBLIC")
    op.execute(f"GRANT EXECUTE ON FUNCTION {SIGNATURE} TO parley_app")


def downgrade() -> None:
    op.execute(f"DROP FUNCTION {SIGNATURE}")
    op.execute(UNMARK)
