"""Runs against PostgreSQL: leases, fences, the reaper, and what is left when an answer ends."""

from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest

from app.errors import UnavailableError
from app.ids import new_id
from app.repositories.ending import Ending
from app.repositories.runs import LEASE_SECONDS, Chunk, RunRepository, keep
from app.services.chat import Question
from app.services.identity import Identity
from app.services.runs import RunService
from app.streaming.events import Started, Text
from app.streaming.mirrors import Mirrors
from app.streaming.run import FLUSH_BYTES
from app.streaming.runner import REAP_SECONDS
from tests.client import Client
from tests.responders import Gate
from tests.streams import frames, until

LAPSED = "lease_until = clock_timestamp() - interval '1 minute'"


class Asked:
    """A question, its answer and the run that writes it, as PostgreSQL knows them."""

    def __init__(self, client, rows, **fields):
        self._rows = rows
        self.app = client.app
        self.response = client.ask("Where is Huế?", wire="sse", **fields)
        assert self.response.status_code == 200, self.response.text
        self.seen = frames(self.response.response)
        self.first = next(self.seen).data
        self.conversation_id = self.first["conversation_id"]

    @property
    def message(self):
        (message,) = self._rows.run(
            "SELECT * FROM messages WHERE id = :id", id=self.first["message_id"]
        )
        return message

    @property
    def run(self):
        (run,) = self._rows.run(
            "SELECT * FROM runs WHERE message_id = :id", id=self.first["message_id"]
        )
        return run

    @property
    def kept(self):
        chunks = self._rows.run(
            "SELECT text FROM run_chunks WHERE run_id = :id ORDER BY n", id=self.run.id
        )
        return "".join(chunk.text for chunk in chunks)

    @property
    def ledger(self):
        return self._rows.run(
            "SELECT * FROM query_logs WHERE message_id = :id", id=self.first["message_id"]
        )

    @property
    def conversation(self):
        (conversation,) = self._rows.run(
            "SELECT * FROM conversations WHERE id = :id", id=self.conversation_id
        )
        return conversation

    def change_run(self, assignment):
        self._rows.run(
            f"UPDATE runs SET {assignment} WHERE message_id = :id", id=self.first["message_id"]
        )

    def abandon(self, reap):
        """Let the lease run out until the run was reaped: its keeper may renew it in between."""
        until(lambda: self._is_reaped(reap))

    def _is_reaped(self, reap):
        self.change_run(LAPSED)
        reap()
        return self.message.status != "streaming"


@pytest.fixture
def gate():
    gate = Gate("so far", " so good", after=[" and ", "to the end"])
    yield gate
    gate.open()


@pytest.fixture
def asked(make_app, email, rows, gate):
    """An answer that waits at the gate, all of its text so far kept."""
    asked = Asked(Client(make_app(gate), email), rows)
    until(lambda: asked.kept == "so far so good")
    return asked


@pytest.fixture
def taken_over(asked):
    """An answer whose writer has lost it to attempt 7."""
    asked.change_run("attempt = 7")
    return asked


@pytest.fixture
def runs(database):
    """What a process without Redis makes of runs."""
    return runs_of(database)


def runs_of(database):
    return RunService(database, Mirrors(None), max_answer_bytes=10_000)


def leases(database, *chunks):
    """What runs hear that keep these chunks."""
    with database.operation() as session:
        return keep(session, chunks)


def unwatched(*pieces):
    """A responder that has nothing to wait for."""
    return lambda prompt: iter(pieces)


def test_text_is_kept_within_about_a_second_and_the_lease_renewed(asked):
    before = asked.run.lease_until
    assert asked.message.content == ""
    assert asked.message.status == "streaming"
    until(lambda: asked.run.lease_until > before, seconds=4)


def test_at_the_end_everything_is_there_and_the_chunks_are_gone(asked, gate):
    before = asked.conversation
    gate.open()
    *_, done = asked.seen
    message, (entry,) = asked.message, asked.ledger
    assert done.event == "done"
    assert (message.status, message.content) == ("complete", "so far so good and to the end")
    assert (message.latency_ms >= message.first_token_ms >= 0) is True
    assert message.usage_is_estimated
    assert message.tokens_used == message.prompt_tokens + message.completion_tokens > 0
    assert asked.kept == ""
    assert (asked.run.status, asked.run.ended_at is not None) == ("complete", True)
    assert (entry.status, entry.tokens_used) == ("complete", message.tokens_used)
    assert (entry.query, entry.response_time_ms) == ("Where is Huế?", message.latency_ms)
    assert asked.conversation.revision == before.revision + 1 == done.data["revision"]
    assert asked.conversation.total_tokens == before.total_tokens + message.tokens_used
    assert asked.conversation.rev != before.rev
    assert asked.conversation.preview == "so far so good and to the end"


def test_what_is_written_meanwhile_is_hardly_more_than_the_text(make_app, email, rows, database):
    """`run_chunks` counted as rows go in: each piece of text once."""
    rows.run("CREATE TABLE IF NOT EXISTS written (run_id uuid, bytes int)")
    rows.run(
        "CREATE OR REPLACE FUNCTION note_written() RETURNS trigger LANGUAGE plpgsql "
        "SECURITY DEFINER AS $$ BEGIN INSERT INTO written "
        "VALUES (new.run_id, octet_length(new.text) + 24); RETURN NULL; END $$"
    )
    rows.run(
        "CREATE OR REPLACE TRIGGER note_written AFTER INSERT ON run_chunks "
        "FOR EACH ROW EXECUTE FUNCTION note_written()"
    )
    try:
        sentence = "Đường về xứ Huế. "
        text = sentence * 8_000
        asked = Asked(Client(make_app(unwatched(*[sentence] * 8_000)), email), rows)
        *_, done = asked.seen
        (written,) = rows.run(
            "SELECT count(*), sum(bytes) FROM written WHERE run_id = :id", id=asked.run.id
        )
    finally:
        rows.run("DROP TRIGGER note_written ON run_chunks")
        rows.run("DROP FUNCTION note_written")
        rows.run("DROP TABLE written")
    assert done.data["message"]["content"] == text
    assert 0.9 < written.sum / len(text.encode()) <= 1.2
    assert written.count <= len(text.encode()) / FLUSH_BYTES + 10
    assert asked.kept == ""


def test_a_run_whose_lease_is_over_is_interrupted_with_the_text_that_was_kept(asked, runs):
    before = asked.conversation
    asked.abandon(runs.reap)
    message, (entry,) = asked.message, asked.ledger
    assert (message.status, message.content) == ("interrupted", "so far so good")
    assert message.error_class == "crashed"
    assert (entry.status, entry.error_class) == ("interrupted", "crashed")
    assert asked.kept == ""
    assert asked.run.status == "interrupted"
    assert asked.conversation.revision == before.revision + 1
    assert asked.conversation.preview == "so far so good"


def test_a_live_writer_that_was_reaped_stops_and_overwrites_nothing(asked, runs, gate):
    asked.abandon(runs.reap)
    stored = asked.message
    gate.open()
    *_, ending = asked.seen
    assert gate.closed.wait(5)
    assert (ending.event, ending.data["code"]) == ("error", "fenced")
    assert asked.message == stored
    assert len(asked.ledger) == 1


def test_a_fenced_writer_stops_at_its_next_word(make_app, email, rows, runs):
    class Endless(Gate):
        def __call__(self, prompt):
            try:
                while not self.opened.wait(0.01):
                    yield "word "
            finally:
                self.closed.set()

    endless = Endless()
    asked = Asked(Client(make_app(endless), email), rows)
    until(lambda: asked.kept)
    asked.change_run("attempt = attempt + 1")
    assert endless.closed.wait(5)
    assert [*asked.seen][-1].data["code"] == "fenced"
    assert (asked.message.status, asked.message.content) == ("streaming", "")
    asked.abandon(runs.reap)


@pytest.mark.parametrize("query", ["", "?permanent=true"])
def test_deleting_the_conversation_stops_its_answer_and_nothing_comes_back(
    query, make_app, email, rows, gate
):
    client = Client(make_app(gate), email)
    asked = Asked(client, rows)
    until(lambda: asked.kept)
    assert client.delete(f"/conversations/{asked.conversation_id}{query}").status_code == 200
    *_, ending = asked.seen
    assert (ending.event, ending.data["code"]) == ("error", "fenced")
    gate.open()
    assert gate.closed.wait(5)
    assert client.get(f"/conversations/{asked.conversation_id}").status_code == 404
    if query:
        found = rows.run("SELECT 1 FROM messages WHERE user_email = :email", email=email)
        assert found == rows.run("SELECT 1 FROM runs WHERE user_email = :email", email=email) == []


def test_an_answer_in_the_trash_is_ended_by_the_reaper(asked, client, runs, gate):
    client.delete(f"/conversations/{asked.conversation_id}")
    runs.reap()
    until(lambda: asked.message.status == "interrupted", seconds=15)
    gate.open()
    assert asked.message.content == "so far so good"
    assert asked.message.error_class == "fenced"
    assert len(asked.ledger) == 1


def test_an_answer_whose_process_died_before_it_heard_the_stop_is_cancelled(asked, runs):
    asked.change_run("stop_requested = true, attempt = attempt + 1")
    asked.abandon(runs.reap)
    assert (asked.message.status, asked.message.error_class) == ("cancelled", "stopped")
    assert asked.message.content == "so far so good"
    assert [entry.status for entry in asked.ledger] == ["cancelled"]


def test_no_answer_is_left_streaming_for_longer_than_45_seconds():
    assert LEASE_SECONDS + REAP_SECONDS <= 45 - 5


def test_two_reapers_at_once_end_a_run_once(asked, runs, database):
    before = asked.conversation.revision
    with ThreadPoolExecutor(8) as pool:
        reapers = [runs_of(database).reap] * 8
        asked.abandon(lambda: list(pool.map(lambda reap: reap(), reapers)))
    assert len(asked.ledger) == 1
    assert asked.conversation.revision == before + 1


def test_one_look_of_the_reaper_ends_all_that_a_dead_worker_left(make_app, email, rows, runs):
    gate = Gate("half")
    client = Client(make_app(gate, max_runs_per_user=100), email)
    for number in range(45):
        client.ask(f"Question {number}", wire="sse").close()
    until(lambda: len(gate.prompts) == 45)
    rows.run(f"UPDATE runs SET {LAPSED}, attempt = 2 WHERE user_email = :email", email=email)
    runs.reap()
    query = "SELECT count(*) FROM messages WHERE user_email = :email AND status = 'streaming'"
    until(lambda: rows.run(query, email=email) == [(0,)], seconds=3)
    gate.open()


def finished(session, asked, ending, *, attempt):
    run = asked.run
    repository = RunRepository(session)
    return repository.finish(run.conversation_id, run.id, attempt, log_id=new_id(), ending=ending)


def test_a_reaper_that_was_overtaken_changes_nothing(asked, database, email):
    asked.change_run("attempt = 7")
    ending = Ending(status="interrupted", content="stale", preview="", search_words="")
    with database.statement(email) as session:
        assert finished(session, asked, ending, attempt=6) is None
    stale = Chunk(asked.run.id, email, 6, 99, "stale")
    assert leases(database, stale) == {asked.run.id: "lost"}
    assert asked.message.content == ""
    assert "stale" not in asked.kept


def test_a_chunk_is_kept_once(taken_over, database, email):
    chunk = Chunk(taken_over.run.id, email, 7, 50, "once")
    for _ in range(2):
        assert leases(database, chunk) == {chunk.run_id: "held"}
    assert taken_over.kept.count("once") == 1


def test_what_somebody_has_locked_is_not_waited_for(taken_over, database, email):
    chunk = Chunk(taken_over.run.id, email, 7, 50, "once")
    with database.transaction(email) as session:
        session.run("SELECT FROM runs WHERE id = %(id)s FOR UPDATE", {"id": chunk.run_id})
        assert leases(database, chunk) == {chunk.run_id: "busy"}
    assert leases(database, chunk) == {chunk.run_id: "held"}


def test_what_is_said_before_a_run_hears_the_stop_is_kept(taken_over, database, email):
    taken_over.change_run("stop_requested = true")
    chunk = Chunk(taken_over.run.id, email, 7, 50, ", and no more")
    assert leases(database, chunk) == {chunk.run_id: "stopped"}
    assert taken_over.kept == "so far so good, and no more"


def test_many_runs_keep_at_once_and_no_one_for_another(taken_over, database, email):
    own = Chunk(taken_over.run.id, email, 7, 50, "own")
    absent, foreign = own._replace(run_id=new_id()), own._replace(owner="a@b.c", text="forged")
    assert leases(database, absent, own) == {absent.run_id: "lost", own.run_id: "held"}
    assert leases(database, foreign) == {own.run_id: "lost"}
    assert taken_over.kept == "so far so goodown"


def test_nobody_elses_run_can_be_renewed_ended_or_read(asked, database, email):
    ending = Ending(status="complete", content="forged", preview="", search_words="")
    with database.statement("mallory@example.com") as session:
        repository = RunRepository(session)
        conversation_id, message_id = asked.run.conversation_id, asked.run.message_id
        assert finished(session, asked, ending, attempt=1) is None
        assert repository.text_so_far(asked.run.id) == ""
        assert repository.text_of(conversation_id, message_id) == ""
        assert repository.live(conversation_id) == []
        assert repository.stop(conversation_id, None) == []
    forged = Chunk(asked.run.id, "mallory@example.com", 1, 9, "forged")
    assert leases(database, forged) == {asked.run.id: "lost"}
    assert leases(database, forged._replace(owner="")) == {asked.run.id: "lost"}
    assert leases(database, forged._replace(owner=email, attempt=2)) == {asked.run.id: "lost"}
    assert "forged" not in asked.kept
    assert asked.message.content == ""
    assert not asked.run.stop_requested


def test_nobody_hears_somebody_elses_answer_by_its_ids(asked, gate, make_app):
    """Neither in the process that writes it nor in another."""
    started = Started(
        conversation_id=asked.run.conversation_id,
        message_id=asked.run.message_id,
        user_message_id=new_id(),
        revision=1,
        title=None,
    )
    for app in (asked.app, make_app(gate)):
        answers = app.extensions["parley"].services.answers
        watch = answers.watch("mallory@example.com", started)
        events = [heard.event for heard in watch.events if heard]
        assert not any(isinstance(event, Text) for event in events)
        assert events[-1].error_class == "fenced"


def test_an_answer_is_stored_when_the_reply_to_storing_it_gets_lost(
    make_app, email, rows, monkeypatch
):
    """The statement takes effect, its reply never comes: the second try finds what it did."""
    finish, lost = RunRepository.finish, []

    def mumbling(self, *arguments, **named):
        row = finish(self, *arguments, **named)
        if not lost:
            lost.append(row)
            raise UnavailableError
        return row

    monkeypatch.setattr(RunRepository, "finish", mumbling)
    asked = Asked(Client(make_app(unwatched("a", "b")), email), rows)
    *_, done = asked.seen
    assert done.event == "done"
    assert done.data["message"]["content"] == asked.message.content == "ab"
    assert len(asked.ledger) == 1
    assert done.data["revision"] == asked.conversation.revision == 3


def test_what_was_asked_later_is_not_in_the_history_of_an_earlier_question(
    make_app, email, monkeypatch
):
    """Two questions are stored before either answer begins."""
    heard = []
    app = make_app(lambda prompt: heard.append(prompt) or iter(["answer"]))
    parley, waiting = app.extensions["parley"], []
    identity = Identity(user_email=email, issuer="tests")
    parley.services.users.see(identity)
    monkeypatch.setattr(parley.runner, "launch", waiting.append)
    for text in ("first", "second"):
        parley.services.chat.ask(identity, Question(text=text, conversation="my-chat"))
    for run in waiting:
        run.generate()
    said = {prompt.question: [turn.content for turn in prompt.history.turns] for prompt in heard}
    assert said == {"first": [], "second": ["first", "answer"]}


def test_an_answer_that_ends_late_does_not_take_the_preview_of_what_came_after(asked, client, gate):
    client.say(asked.conversation_id, "Never mind.")
    gate.open()
    assert [*asked.seen][-1].event == "done"
    assert asked.conversation.preview == "Never mind."
    said = [message["content"] for message in client.messages(asked.conversation_id)]
    assert said == ["Where is Huế?", "so far so good and to the end", "Never mind."]


def test_the_model_holds_no_connection_and_no_transaction(make_app, email, rows, database, gate):
    app = make_app(gate, db_pool_size=1, db_max_overflow=0, db_pool_timeout=1)
    engine = app.extensions["parley"].database.engine
    client = Client(app, email)
    asked = Asked(client, rows)
    assert gate.reached.wait(5)
    assert client.get("/conversations").status_code == 200
    until(lambda: engine.pool.checkedout() == 0)
    with database.operation() as session:
        idle = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND state LIKE "
        assert session.run(idle + "'idle in transaction%%'", {}) == []
    gate.open()
    assert [*asked.seen][-1].event == "done"
    assert UUID(asked.conversation_id)
