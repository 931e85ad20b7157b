"""Workers that are killed at random moments under clients that listen."""

import os
import random
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from uuid import uuid4

import psutil

from tests.streams import until

from .accounting import check
from .listening import Heard, Listener

EXPIRE = """
UPDATE runs SET lease_until = clock_timestamp() - interval '1 second'
WHERE user_email = ANY(:emails) AND status = 'running'
"""
STREAMING = "SELECT 1 FROM messages WHERE status = 'streaming' AND user_email = ANY(:emails)"
MOST_LOST_BYTES = 2000
MOST_LOST_SECONDS = 1.0
SETTLED_SECONDS = 45


def kill_workers(server, *, times, seed, is_time, every=(0.1, 1.0)):
    """Kills one of those that have somebody to serve, a while after all are there and `is_time`."""
    chance, count = random.Random(seed), len(server.workers())
    for _ in range(times):
        until(lambda: len(server.workers()) == count and is_time(), seconds=60)
        time.sleep(chance.uniform(*every))
        with suppress(ProcessLookupError):
            os.kill(chance.choice(until(lambda: busy(server), seconds=30)), signal.SIGKILL)


def busy(server):
    """The workers that clients are connected to."""
    with suppress(psutil.NoSuchProcess):
        return [worker for worker in server.workers() if _is_busy(worker, server.port)]


def _is_busy(worker, port):
    connections = psutil.Process(worker).net_connections("tcp4")
    return any(it.status == psutil.CONN_ESTABLISHED and it.laddr.port == port for it in connections)


def campaign(app, server, *, kills, clients, seed):
    """What `clients` heard, each asking one question after the other, until all kills are done."""
    over, current = threading.Event(), {}

    def is_time():
        """Whether half of them hear an answer: who dies earlier has nothing to lose."""
        listening = [one for one in current.values() if one.pieces and not one.ending]
        return len(listening) * 2 >= clients

    def converse(number):
        chance, heard = random.Random(f"{seed} {number}"), []
        listener = Listener(app, f"{uuid4().hex}@example.com")
        while not over.is_set():
            count, first, pace = chance.randint(30, 120), chance.randint(0, 9999), 20
            question = f"Recite {count} from {first}, one each {pace} ms."
            current[number] = Heard(listener.email, question)
            heard.append(listener.listen(server, current[number]))
        return heard

    with ThreadPoolExecutor(clients) as threads:
        listening = [threads.submit(converse, number) for number in range(clients)]
        try:
            kill_workers(server, times=kills, seed=seed, is_time=is_time)
        finally:
            over.set()
        return [heard for each in listening for heard in each.result()]


def expire(rows, heard):
    """Lets the leases of all who were asked be over at once."""
    rows.run(EXPIRE, emails=_emails(heard))


def settle(rows, heard, *, seconds=SETTLED_SECONDS):
    """Waits until none of these answers is `streaming`: seconds that it took."""
    began = time.monotonic()
    until(lambda: not rows.run(STREAMING, emails=_emails(heard)), seconds=seconds)
    return time.monotonic() - began


def _emails(heard):
    return sorted({one.email for one in heard})


def account(rows, heard):
    """Checks every question; a line of figures about all of them."""
    checked = [check(rows, one) for one in heard]
    losses = [loss for loss, _ in checked]
    over = [
        loss for loss in losses if loss.bytes > MOST_LOST_BYTES and loss.seconds > MOST_LOST_SECONDS
    ]
    assert not over, f"more lost than may be: {over}"
    refused = {one.status for one in heard} - {None, 200}
    assert not refused, f"refused with {refused}"
    statuses = [row.status if row else "not stored" for _, row in checked]
    counts = {status: statuses.count(status) for status in sorted(set(statuses))}
    acknowledged = sum(one.started is not None for one in heard)
    done = sum(one.is_done for one in heard)
    return (
        f"{len(heard)} questions, {acknowledged} acknowledged, {done} answers acknowledged, "
        f"stored as {counts}; heard beyond what is stored: {max(one.bytes for one in losses)} "
        f"bytes, {max(one.seconds for one in losses):.2f} s at most"
    )
