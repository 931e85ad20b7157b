"""Many runs keep what they have at once, and who ends a run says why it had to be ended.

`parley_keep_runs` works across owners: a worker keeps the texts of all its runs in one round trip.
It gives nothing away, and writes only for who names a run with its owner and its attempt. Rows
that somebody else has locked are left for the next time (`busy`), so that it waits for nobody.
"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

KEEP_RUNS = """
CREATE FUNCTION parley_keep_runs(
    ids uuid[], owners text[], attempts integer[], numbers integer[], texts text[],
    seconds integer)
RETURNS TABLE (run_id uuid, lease text)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp
AS $$
    WITH given AS (
        SELECT * FROM unnest(ids, owners, attempts, numbers, texts)
            AS it (id, owner, attempt, n, text)),
    held AS (
        SELECT r.id FROM runs r JOIN given g
            ON r.id = g.id AND r.user_email = g.owner AND r.attempt = g.attempt
        WHERE r.status = 'running'
        FOR NO KEY UPDATE OF r SKIP LOCKED),
    kept AS (
        UPDATE runs r SET lease_until = clock_timestamp() + make_interval(secs => seconds)
        FROM held WHERE r.id = held.id
        RETURNING r.id, r.stop_requested),
    chunks AS (
        INSERT INTO run_chunks (run_id, n, user_email, text)
        SELECT g.id, g.n, g.owner, g.text FROM given g JOIN kept ON kept.id = g.id
        WHERE g.text <> ''
        ON CONFLICT (run_id, n) DO NOTHING)
    SELECT g.id, CASE
        WHEN kept.stop_requested THEN 'stopped'
        WHEN kept.id IS NOT NULL THEN 'held'
        WHEN r.id IS NOT NULL THEN 'busy'
        ELSE 'lost' END
    FROM given g
        LEFT JOIN kept ON kept.id = g.id
        LEFT JOIN runs r ON r.id = g.id AND r.user_email = g.owner AND r.attempt = g.attempt
            AND r.status = 'running'
$$
"""
CLAIM_EXPIRED_RUNS = """
CREATE FUNCTION parley_claim_expired_runs(max_runs integer)
RETURNS TABLE (run_id uuid, owner text, attempt integer, cause text)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp
AS $$
    WITH expired AS (
        SELECT id, CASE
            WHEN stop_requested THEN 'stopped'
            WHEN lease_until = '-infinity' THEN 'fenced'
            ELSE 'crashed' END AS cause
        FROM runs
        WHERE status = 'running' AND lease_until < clock_timestamp()
        ORDER BY lease_until LIMIT max_runs
        FOR UPDATE SKIP LOCKED)
    UPDATE runs SET
        attempt = runs.attempt + 1,
        lease_until = clock_timestamp() + interval '10 seconds'
    FROM expired WHERE runs.id = expired.id
    RETURNING runs.id, runs.user_email, runs.attempt, expired.cause
$$
"""
CLAIM_EXPIRED_RUNS_BEFORE = """
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
KEEP = "parley_keep_runs(uuid[], text[], integer[], integer[], text[], integer)"
CLAIM = "parley_claim_expired_runs(integer)"


def upgrade() -> None:
    _create(KEEP, KEEP_RUNS)
    op.execute(f"DROP FUNCTION {CLAIM}")
    _create(CLAIM, CLAIM_EXPIRED_RUNS)


def downgrade() -> None:
    op.execute(f"DROP FUNCTION {CLAIM}")
    _create(CLAIM, CLAIM_EXPIRED_RUNS_BEFORE)
    op.execute(f"DROP FUNCTION {KEEP}")


def _create(signature: str, sql: str) -> None:
    op.execute(sql)
    op.execute(f"REVOKE ALL ON FUNCTION {signature} FROM PUBLIC")
    op.execute(f"GRANT EXECUTE ON FUNCTION {signature} TO parley_app")
