"""What happens to Redis, and to the write-ahead log, while long answers are written."""

import os
import signal
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from app.embedded import servers
from tests.faults.accounting import check
from tests.faults.listening import Heard, Listener
from tests.server import Server
from tests.streams import until

MOST_WRITTEN = 1.5  # bytes of write-ahead log for each of an answer
ANSWERS = 3  # what checkpoints and autovacuum write meanwhile is counted, too: the least is ours
LONG = "Recite 200 from 1, one each 20 ms."


@contextmanager
def redis_of_its_own(settings):
    """The URL and the process of a Redis that may die."""
    environ = {"DATABASE_URL": settings.database_url}
    with tempfile.TemporaryDirectory(prefix="parley-faults-") as folder:
        data = Path(folder)
        with servers(data, environ, durable=False) as urls:
            yield urls["REDIS_URL"], int((data / "redis.pid").read_text())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_redis_may_go_in_the_middle_of_an_answer(app, settings, rows, number):
    """Its writer does not notice, and who comes to another worker hears it all the same."""
    with redis_of_its_own(settings) as (url, process):
        environ = {"RESPONDER": "tests.responders:reciting", "REDIS_URL": url}
        with Server(settings, **environ) as server:
            heard = listen_while(app, server, lambda: os.kill(process, number))
        if number == signal.SIGSTOP:
            os.kill(process, signal.SIGCONT)
    for one in heard:
        assert one.is_done
        check(rows, one)


def listen_while(app, server, spoil):
    """What the one heard who asked, and what eight heard who came when it was spoilt."""
    listener = Listener(app, f"{uuid4().hex}@example.com")
    asked = Heard(listener.email, LONG)
    again = [Heard(asked.email, asked.question, asked.client_message_id) for _ in range(8)]
    listening = [threading.Thread(target=listener.listen, args=(server, asked))]
    listening += [
        threading.Thread(target=listener.resume, args=(server, asked, one)) for one in again
    ]
    listening[0].start()
    until(lambda: len(asked.pieces) > 20)
    for thread in listening[1:5]:
        thread.start()
    until(lambda: all(one.pieces for one in again[:4]))
    spoil()
    for thread in listening[5:]:
        thread.start()
    for thread in listening:
        thread.join()
    return [asked, *again]


def test_a_long_answer_is_written_once(app, settings, rows):
    environ = {"RESPONDER": "tests.faults.speaking:at_length"}
    spent = []
    with Server(settings, **environ) as server:
        until(server.is_alive)
        for _ in range(ANSWERS):
            listener = Listener(app, f"{uuid4().hex}@example.com")
            before = written(rows)
            heard = listener.ask(server, "At length.")
            spent.append(written(rows) - before)
    (answer,) = rows.run(
        "SELECT octet_length(content) AS bytes FROM messages "
        "WHERE user_email = :email AND role = 'assistant'",
        email=listener.email,
    )
    assert heard.is_done
    assert answer.bytes == len(heard.text.encode()) > 3_900_000
    print(f"{spent} bytes of write-ahead log for answers of {answer.bytes} bytes:", end="")
    print(f" {min(spent) / answer.bytes:.2f} times at least")
    assert min(spent) <= MOST_WRITTEN * answer.bytes


def written(rows):
    """Bytes of write-ahead log since the beginning."""
    ((lsn,),) = rows.run("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")
    return int(lsn)
