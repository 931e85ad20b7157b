"""How stored conversations can be wrong, by whatever statement: what verification must find."""

UNLEASH = """
DO $$ DECLARE it record; BEGIN
    FOR it IN SELECT conname, conrelid::regclass AS at FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace AND contype IN ('f', 'c', 'u')
        ORDER BY contype DESC, contype = 'u'
    LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT IF EXISTS %I CASCADE', it.at, it.conname);
    END LOOP;
    FOR it IN SELECT indexrelid::regclass AS name
        FROM pg_index JOIN pg_class c ON c.oid = indexrelid
        WHERE indisunique AND NOT indisprimary AND relnamespace = 'public'::regnamespace
    LOOP EXECUTE format('DROP INDEX %s', it.name); END LOOP;
END $$
"""
DEEP = "'" + "[" * 66 + "]" * 66 + "'::jsonb"
SET = "UPDATE conversations SET {} WHERE id = :c"
SAID = "UPDATE messages SET {} WHERE conversation_id = :c AND {}"
RUN = "UPDATE runs SET {} WHERE conversation_id = :c"
LEAF = "(SELECT id FROM messages WHERE conversation_id = :c AND seq = {})"
NEW_RUN = """
INSERT INTO runs (id, conversation_id, message_id, user_email, lease_until)
SELECT gen_random_uuid(), :c, id, user_email, now() FROM messages
WHERE conversation_id = :c AND {}"""
CHUNK = """
INSERT INTO run_chunks (run_id, n, user_email, text)
SELECT id, 0, {}, 'kept of it' FROM runs WHERE conversation_id = :c"""
WRITING = SAID.format("status = 'streaming'", "seq = 7") + ";" + RUN.format("status = 'running'")
NOBODYS = ";".join(
    f"UPDATE {table} SET user_email = 'nobody@example.com' WHERE {column} = :c"
    for table, column in {
        "conversations": "id",
        "messages": "conversation_id",
        "runs": "conversation_id",
        "query_logs": "conversation_id",
    }.items()
)

# What is broken by which statement, and what of it can't be mended.
BREAKS = {
    "a count": (SET.format("message_count = 70"), {"message_count"}, set()),
    "a sum": (SET.format("total_tokens = total_tokens + 1"), {"total_tokens"}, set()),
    "the next seq": (SET.format("next_seq = 3"), {"next_seq"}, set()),
    "no revision": (SET.format("revision = -5"), {"revision"}, set()),
    "no preview": (SET.format("preview = NULL"), {"preview"}, set()),
    "another preview": (SET.format("preview = 'x'"), {"preview"}, set()),
    "words of a title": (SET.format("title_words = '''x'''"), {"title_words"}, set()),
    "words of a text": (
        SAID.format("search_words = '''x'''", "seq = 2"), {"search_words"}, set(),
    ),
    "whose title": (
        SET.format("title = NULL, title_words = '', title_source = 'user'"), {"title_source"}, set()
    ),
    "a leaf elsewhere": (
        SET.format("active_leaf_id = gen_random_uuid()"),
        {"active_leaf", "active_path", "preview"}, set(),
    ),
    "no leaf": (
        SET.format("active_leaf_id = NULL"), {"active_leaf", "active_path", "preview"}, set()
    ),
    "a leaf with an active child": (
        SET.format(f"active_leaf_id = {LEAF.format(2)}"), {"active_path", "preview"}, set()
    ),
    "a leaf on another branch": (
        SET.format(f"active_leaf_id = {LEAF.format(4)}"), {"active_path", "preview"}, set()
    ),
    "a second branch is shown": (
        SAID.format("is_active = true", "seq IN (3, 4)"), {"active_path"}, set()
    ),
    "a gap in the path": (SAID.format("is_active = false", "seq = 5"), {"active_path"}, set()),
    "a path without root": (SAID.format("is_active = false", "seq = 1"), {"active_path"}, set()),
    "nothing is shown": (SAID.format("is_active = false", "true"), {"active_path"}, set()),
    "nothing was said": (
        "DELETE FROM messages WHERE conversation_id = :c; DELETE FROM runs "
        "WHERE conversation_id = :c",
        {"active_leaf", "message_count", "preview", "total_tokens"}, set(),
    ),
    "a run that never ended": (
        RUN.format("status = 'running', ended_at = NULL"), {"run_without_answer"}, set()
    ),
    "chunks of an ended run": (CHUNK.format("user_email"), {"chunks_of_ended_run"}, set()),
    "an answer that nobody writes": (
        SAID.format("status = 'streaming', content = '', search_words = ''", "seq = 7")
        + ";" + CHUNK.format("user_email"),
        {"answer_without_run", "chunks_of_ended_run", "preview"}, set(),
    ),
    "an answer without any run": (
        SAID.format("status = 'streaming', content = '', search_words = ''", "seq = 7")
        + "; DELETE FROM runs WHERE conversation_id = :c",
        {"answer_without_run", "preview"}, set(),
    ),
    "nobody's conversation": (NOBODYS, {"owner"}, {"owner"}),
    "somebody else's message": (
        SAID.format("user_email = :other", "seq = 4"),
        {"messages_of_others", "message_count"}, {"messages_of_others"},
    ),
    "somebody else's run": (
        RUN.format("user_email = :other"), {"runs_of_others"}, {"runs_of_others"}
    ),
    "somebody else's chunk": (
        WRITING + ";" + CHUNK.format(":other"), {"chunks_of_others"}, {"chunks_of_others"}
    ),
    "nobody's line in the ledger": (
        "UPDATE query_logs SET user_email = NULL WHERE conversation_id = :c",
        {"ledger_of_others"}, {"ledger_of_others"},
    ),
    "a seq twice": (SAID.format("seq = 5", "seq = 4"), {"seq"}, {"seq"}),
    "a seq below one": (SAID.format("seq = 0", "seq = 1"), {"seq"}, {"seq"}),
    "a parent elsewhere": (
        SAID.format("parent_id = gen_random_uuid()", "seq = 3"), {"parent"}, {"parent"}
    ),
    "a parent after its child": (
        SAID.format("seq = 7 - seq", "seq IN (3, 4)"), {"order"}, {"order"}
    ),
    "a circle": (SAID.format(f"parent_id = {LEAF.format(4)}", "seq = 3"), {"order"}, {"order"}),
    "a circle that is shown": (
        SAID.format(f"parent_id = {LEAF.format(7)}", "seq = 1"),
        {"order", "active_path"}, {"order", "active_path"},
    ),
    "two answers at a time": (
        SAID.format("status = 'streaming'", "seq IN (3, 5)") + ";"
        + NEW_RUN.format("seq IN (3, 5)"),
        {"live_answers"}, {"live_answers"},
    ),
    "two writers": (
        WRITING + ";" + NEW_RUN.format("seq = 7"), {"runs_of_answer"}, {"runs_of_answer"}
    ),
    "a client's id twice": (
        SAID.format("client_message_id = 'e-1', payload_sha256 = sha256('')", "seq = 1"),
        {"client_message_id"}, {"client_message_id"},
    ),
    "no fingerprint": (SAID.format("payload_sha256 = NULL", "seq = 5"), {"payload"}, {"payload"}),
    "deep parts": (
        SAID.format(f"parts = {DEEP}", "seq = 1"), {"depth_of_messages"}, {"depth_of_messages"}
    ),
    "deep metadata": (
        SAID.format(f"metadata = jsonb_build_object('a', {DEEP})", "seq = 1"),
        {"depth_of_messages"}, {"depth_of_messages"},
    ),
    "deep metadata of the whole": (
        SET.format(f"metadata = jsonb_build_object('a', {DEEP})"), {"depth"}, {"depth"}
    ),
}  # fmt: skip
# Where the rest says something else than what was there, or nothing exact.
CHANGED = {
    "whose title", "a leaf with an active child", "a leaf on another branch", "nothing was said",
    "an answer that nobody writes", "an answer without any run", "no revision",
    "a run that never ended",
}  # fmt: skip
