"""examples/replay.py: real conversations, by several users at once, through a served API."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from .. import client as clients
from ..measuring import unmeasured
from ..proxy import Proxy
from ..real_data import FOLDER
from ..server import Server

ROOT = Path(__file__).parents[2]
KDCONV = FOLDER / "kdconv" / "travel_dev.json"

DIALOGUES = [
    [("user", "你知道顺化吗？"), ("assistant", "知道，那是越南的古都。"), ("user", "谢谢！")],
    [("user", "Xin chào 👋🏽\u200b"), ("assistant", "line one\nline two\u2028 \u0085 end ")],
]
KDCONV_SHAPE = [
    {"name": "x", "messages": [{"message": text, "attrs": []} for _, text in dialogue]}
    for dialogue in DIALOGUES
]
OPENAI_SHAPE = [
    {"messages": [{"role": role, "content": text, "name": "x"} for role, text in dialogue]}
    for dialogue in DIALOGUES
]
PAIRS = [[("user", "One?"), ("assistant", "1"), ("user", "Two?"), ("assistant", "2")]]
HISTORY_SHAPE = [
    {"task": "x", "id": 1, "history": [{"user": "One?", "bot": "1"}, {"user": "Two?", "bot": "2"}]}
]


def lines(records):
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


SHAPES = {
    "kdconv": (json.dumps(KDCONV_SHAPE), DIALOGUES),
    "mtbench101 lines": (lines(HISTORY_SHAPE), PAIRS),
    "openai lines": (lines(OPENAI_SHAPE), DIALOGUES),
    "openai list, with a byte order mark": ("\ufeff" + json.dumps(OPENAI_SHAPE), DIALOGUES),
    "openai lines of lists": (lines(one["messages"] for one in OPENAI_SHAPE), DIALOGUES),
    "one openai object": (json.dumps(OPENAI_SHAPE[1], ensure_ascii=False), DIALOGUES[1:]),
    "one openai list": (json.dumps(OPENAI_SHAPE[1]["messages"]), DIALOGUES[1:]),
}
FOREIGN = {
    "conversation 0: not a list of messages": '[{"mapping": {}}]',
    "conversation 1: not a list of messages": '{"messages": []}\n{"messages": [{"text": "?"}]}\n',
    "message 0: not a plain text": '[{"role": "user", "content": [{"type": "text"}]}]',
    "message 1: not a plain text": lines(
        [[{"role": "user", "content": "?"}, {"role": "critic", "content": "!"}]]
    ),
    "neither JSON nor JSON lines": "user: hello\n",
    "no conversation in it": "[]",
}


class Replay:
    """The program with its own journal, against one server."""

    def __init__(self, url, settings, folder):
        self.url = url
        self.folder = folder
        self.journal = folder / "journal.jsonl"
        self.environ = unmeasured() | {
            "SERVICE_AUTH_SECRET": settings.auth.secrets[""],
            "SERVICE_AUTH_ISSUER": settings.auth.issuer,
            "SERVICE_AUTH_AUDIENCE": settings.auth.audience,
        }

    def start(self, *arguments):
        return subprocess.Popen(
            [sys.executable, "examples/replay.py", "--url", self.url, *map(str, arguments)],
            cwd=ROOT,
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments):
        """Its exit code and all that it said."""
        with self.start(*arguments) as process:
            said = "".join(process.communicate())
        return process.returncode, said

    def play(self, text, *arguments):
        return self.run(self.file(text), "--journal", self.journal, *arguments)

    def verify(self):
        return self.run("--verify-only", self.journal)

    def file(self, text):
        path = self.folder / "conversations"
        path.write_text(text, encoding="utf-8")
        return path

    def acknowledged(self):
        return [json.loads(line) for line in self.journal.read_text("utf-8").split("\n")[:-1]]


@pytest.fixture(scope="module")
def server(app, settings):
    """One of their own, whose workers may be killed."""
    with Server(settings) as server:
        yield server


@pytest.fixture
def replay(server, settings, tmp_path):
    return Replay(server.url, settings, tmp_path)


@pytest.fixture
def as_owner(database_urls):
    """Does to one conversation's messages what the application never would."""

    def run(statement, conversation_id):
        with closing(psycopg2.connect(database_urls.owner)) as connection, connection:
            cursor = connection.cursor()
            cursor.execute(f"{statement} AND conversation_id = %s", [conversation_id])
            assert cursor.rowcount == 1

    return run


def long_dialogues(count, length=12):
    said = [(("user", "assistant")[place % 2], f"Words {place} …") for place in range(length)]
    return lines(
        {"messages": [{"role": role, "content": f"{text} {n}"} for role, text in said]}
        for n in range(count)
    )


def retries(said):
    return int(re.search(r"replayed .* (\d+) retries", said)[1])


@pytest.mark.parametrize("shape", SHAPES)
def test_each_known_shape_is_played_and_read_back(replay, app, shape):
    text, dialogues = SHAPES[shape]
    code, said = replay.play(text, "--users", "2")
    assert code == 0, said
    messages = sum(map(len, dialogues))
    assert f"replayed   {len(dialogues)} conversations, {messages} messages, 2 users" in said
    assert f"read back  {len(dialogues)} conversations, {messages} messages, 2 users" in said
    assert "0 differences" in said
    stored = [
        [(turn["role"], turn["content"]) for turn in user.messages(item["id"])]
        for email in replay.acknowledged()[0]["users"]
        for user in [clients.Client(app, email)]
        for item in user.get("/conversations").json["conversations"]
    ]
    assert sorted(stored) == sorted(dialogues)


@pytest.mark.parametrize("complaint", FOREIGN)
def test_another_shape_is_refused_with_its_place(replay, complaint):
    code, said = replay.play(FOREIGN[complaint])
    assert (code, complaint in said) == (2, True), said
    assert "Traceback" not in said


@pytest.mark.parametrize("text", ["", "hello\n", "[]\n", '{"user": "x", "conversation_id": "y"}\n'])
def test_a_file_that_is_no_journal_verifies_nothing(replay, text):
    replay.journal.write_text(text)
    code, said = replay.verify()
    assert (code, "not the journal of a replay" in said) == (2, True), said


def test_messages_can_be_sent_in_batches(replay):
    code, said = replay.play(long_dialogues(3), "--batch", "5")
    assert code == 0, said
    batches = [len(entry["messages"]) for entry in replay.acknowledged() if "messages" in entry]
    assert sorted(batches) == [0, 0, 0, 2, 2, 2, 5, 5, 5, 5, 5, 5]


def test_without_a_secret_it_says_what_is_missing(replay):
    del replay.environ["SERVICE_AUTH_SECRET"]
    code, said = replay.play(long_dialogues(1), "--data", replay.folder)
    assert code == 2
    assert "SERVICE_AUTH_SECRET is not set, and there is no" in said


def test_the_secret_of_make_run_serves_where_none_is_set(replay):
    secret = replay.environ.pop("SERVICE_AUTH_SECRET")
    kept = replay.folder / "development-secret.json"
    kept.write_text(json.dumps({"2026-11-21": secret}))
    code, said = replay.play(long_dialogues(1), "--data", replay.folder)
    assert code == 0, said


def test_a_refused_call_is_told_with_its_place(replay):
    replay.environ["SERVICE_AUTH_SECRET"] = "x" * 40
    code, said = replay.play(long_dialogues(1))
    assert code == 2
    assert "POST /conversations: 401" in said


def test_workers_killed_in_mid_replay_lose_and_double_nothing(replay, server):
    path = replay.file(long_dialogues(60))
    with replay.start(path, "--journal", replay.journal, "--users", "6") as process:
        for wanted in (100, 300):
            wait_for(lambda wanted=wanted: lines_of(replay.journal) >= wanted)
            os.kill(server.workers()[0], signal.SIGKILL)
        was_under_way = process.poll() is None
        said = "".join(process.communicate())
    wait_for(lambda: len(server.workers()) == 2)
    assert was_under_way
    assert process.returncode == 0, said
    assert "60 conversations, 720 messages" in said
    assert replay.verify()[0] == 0


def test_answers_cut_off_after_the_message_was_stored_double_nothing(replay, server):
    with Proxy(server.port) as proxy:
        proxy.cut_after, replay.url = 20_000, f"http://127.0.0.1:{proxy.port}"
        code, said = replay.play(long_dialogues(24))
    assert code == 0, said
    assert retries(said) > 3


def test_a_changed_message_is_found_and_described(replay, as_owner):
    assert replay.play(long_dialogues(3))[0] == 0
    changed = replay.acknowledged()[-2]["conversation_id"]
    as_owner("UPDATE messages SET content = content || '!' WHERE seq = 11", changed)
    code, said = replay.verify()
    assert code == 1
    assert "1 difference" in said
    assert re.search(rf"{changed}\), message 10\n  expected '.*'\n  found    '.*!'\n", said)


def test_a_lost_message_is_found(replay, as_owner):
    assert replay.play(long_dialogues(3))[0] == 0
    shortened = replay.acknowledged()[-2]["conversation_id"]
    as_owner("DELETE FROM messages WHERE seq = 12", shortened)
    code, said = replay.verify()
    assert code == 1
    assert f"{shortened}), message 11" in said
    assert "found    'nothing'" in said


def test_a_conversation_too_few_or_too_many_is_found(replay, app):
    assert replay.play(long_dialogues(3), "--users", "1")[0] == 0
    user = clients.Client(app, replay.acknowledged()[0]["users"][0])
    added = user.create("Something else")["id"]
    assert "conversations in the list\n  expected 3\n  found    4" in replay.verify()[1]
    user.delete(f"/conversations/{added}")
    assert replay.verify()[0] == 0
    lost = replay.acknowledged()[-2]["conversation_id"]
    user.delete(f"/conversations/{lost}")
    code, said = replay.verify()
    assert code == 1
    assert "expected 3\n  found    2" in said


def test_of_a_run_that_was_killed_what_was_acknowledged_is_there(replay):
    path = replay.file(long_dialogues(60))
    with replay.start(path, "--journal", replay.journal) as process:
        wait_for(lambda: lines_of(replay.journal) >= 100)
        process.kill()
    replay.journal.write_bytes(replay.journal.read_bytes() + b'{"torn": ')
    code, said = replay.verify()
    assert code == 0, said


def test_real_conversations_come_back_as_they_were(replay):
    if not KDCONV.exists():
        pytest.skip(f"{KDCONV} is not there")
    code, said = replay.run(KDCONV, "--journal", replay.journal, "--users", "8")
    assert code == 0, said
    assert "read back  150 conversations, 2691 messages, 8 users" in said
    assert "0 differences" in said


def lines_of(path):
    return path.read_bytes().count(b"\n") if path.exists() else 0


def wait_for(condition, *, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
