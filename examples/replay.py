"""Plays files of real conversations through the HTTP API, and reads every one of them back.

    python examples/replay.py FILE… [--url http://127.0.0.1:8000] [--users 4] [--journal JOURNAL]
    python examples/replay.py --verify-only JOURNAL

Several users talk at once and wait for nobody. Every request can be sent again without doubling
anything, so a run survives the end of a worker, of Redis, or of the whole server. The exit code is
0 when all that was acknowledged is there, unchanged, once and in order; 1 at the first difference;
2 when the run could not be done.
"""

import argparse
import secrets
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from itertools import zip_longest
from os.path import commonprefix
from pathlib import Path
from threading import Event, Lock
from typing import Any

from conversation_files import Conversation, FileError, Message, read_file
from parley_client import Api, CallError, Signer
from replay_journal import Journal, Kept
from rich.console import Console
from rich.progress import Progress, TextColumn, TimeRemainingColumn

PAGE = 10  # messages or conversations: small, so that reading back turns many pages
LINE_SECONDS = 5  # between two lines of progress where there is no terminal


class DifferenceError(Exception):
    """What the server holds is not what it acknowledged; the message says where."""


class Meter:
    """Progress in messages, with rate and time left: a bar on a terminal, lines elsewhere."""

    def __init__(self, what: str, total: int) -> None:
        self._what, self._total, self._done = what, total, 0
        self._started = self._said_at = time.monotonic()
        self._lock = Lock()
        rate = TextColumn("{task.completed} of {task.total} messages, {task.fields[rate]}/s")
        columns = (*Progress.get_default_columns()[:2], rate, TimeRemainingColumn())
        self._bar = Progress(*columns, disable=not Console().is_terminal)
        self._task = self._bar.add_task(what, total=total, rate=0)

    def __enter__(self) -> "Meter":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started

    def advance(self, count: int) -> None:
        with self._lock:
            self._done += count
            rate = self._done / self.seconds
            self._bar.update(self._task, advance=count, rate=round(rate))
            if self._bar.disable and time.monotonic() - self._said_at >= LINE_SECONDS:
                self._said_at = time.monotonic()
                left = (self._total - self._done) / max(rate, 0.1)
                done = f"{self._done} of {self._total} messages"
                print(f"{self._what}: {done}, {rate:.0f}/s, {left:.0f} s left", flush=True)


def play(
    api: Api, conversations: list[Conversation], *, batch: int, journal: Journal, meter: Meter
) -> None:
    """One user's conversations, one after the other. What is acknowledged is noted at once."""
    for conversation in conversations:
        made = api.call("POST", "/conversations", json={"client_id": conversation.key})
        known = {"user": api.email, "conversation_id": made["id"], "origin": conversation.origin}
        journal.note(**known, messages=[])
        for start in range(0, len(conversation.messages), batch):
            said = conversation.messages[start : start + batch]
            body = [
                {**message._asdict(), "client_message_id": f"{conversation.key}-{start + place}"}
                for place, message in enumerate(said)
            ]
            api.call("POST", f"/conversations/{made['id']}/messages", json={"messages": body})
            journal.note(**known, messages=said)
            meter.advance(len(said))


def verify(api: Api, conversations: Mapping[str, Kept], *, is_whole: bool, meter: Meter) -> None:
    """Reads all that one user has; DifferenceError. Of a run that is not whole, what was under way
    may be stored as well: only what was acknowledged has to be."""
    pages = api.pages("/conversations", key="conversations", cursor="cursor", size=PAGE)
    items = [item for page in pages for item in page]
    listed = {item["id"]: item for item in items}
    expect(f"{api.email}: conversations listed twice", 0, len(items) - len(listed))
    if is_whole:
        expect(f"{api.email}: conversations in the list", len(conversations), len(items))
    for conversation_id, kept in conversations.items():
        where = f"{kept.origin} ({api.email}, {conversation_id})"
        if conversation_id not in listed:
            raise DifferenceError(f"{where}: is not in the list")
        verify_one(api, listed[conversation_id], kept, where=where, is_whole=is_whole)
        meter.advance(len(kept.messages))


def verify_one(
    api: Api, item: Mapping[str, Any], kept: Kept, *, where: str, is_whole: bool
) -> None:
    """Compares a conversation with its list item, its pages and its newest messages."""
    path = f"/conversations/{item['id']}"
    # From the end: each page is oldest first, and comes before the one that was read before it.
    pages = list(api.pages(f"{path}/messages", key="messages", cursor="before", size=PAGE))
    turns = [turn for page in reversed(pages) for turn in page]
    found = [Message(turn["role"], turn["content"]) for turn in turns]
    compare(where, kept.messages, found if is_whole else found[: len(kept.messages)])
    expect(f"{where}: message_count", len(found), item["message_count"])
    if any(message.role == "user" for message in kept.messages):
        expect(f"{where}: has a title", True, bool(item["title"]))
    # The same messages by the other way, which the cache serves.
    newest = api.call("GET", path)["messages"]
    expect(f"{where}: its newest messages equal its pages", True, newest == turns[-50:])


def compare(where: str, expected: list[Message], found: list[Message]) -> None:
    for place, pair in enumerate(zip_longest(expected, found)):
        if pair[0] != pair[1]:
            texts = [f"{one.role}: {one.content}" if one else "nothing" for one in pair]
            alike = len(commonprefix(texts))  # noqa: RUF071 -- texts, not paths
            start = max(alike - 20, 0)
            expect(f"{where}, message {place}", *[text[start : start + 80] for text in texts])


def expect(where: str, expected: object, found: object) -> None:
    if expected != found:
        raise DifferenceError(f"{where}\n  expected {expected!r}\n  found    {found!r}")


def at_once(work: Callable[..., None], crew: list[Api], shares: list[Any], stop: Event) -> None:
    """Does each user's work in a thread of its own; the first error stops the others."""
    with ThreadPoolExecutor(len(crew)) as threads:
        futures = [threads.submit(work, *pair) for pair in zip(crew, shares, strict=True)]
        try:
            for future in as_completed(futures):
                future.result()
        except BaseException:
            stop.set()
            raise


def replay(given: argparse.Namespace, stop: Event) -> Journal:
    """Deals the files' conversations out among new users and plays them."""
    played = [conversation for path in given.files for conversation in read_file(path)]
    if len({conversation.key for conversation in played}) < len(played):
        raise FileError("One file is given twice.")
    journal, name = Journal(given.journal), secrets.token_hex(4)
    emails = [f"replay-{name}-{number}@example.com" for number in range(given.users)]
    journal.note(users=emails)
    crew = [Api(given.url, email, Signer(given.data), stop) for email in emails]
    shares = [played[number :: given.users] for number in range(given.users)]
    with Meter("replay", sum(len(conversation.messages) for conversation in played)) as meter:
        work = partial(play, batch=given.batch, journal=journal, meter=meter)
        at_once(work, crew, shares, stop)
    journal.note(finished=True)
    summarise("replayed", journal, meter, sum(api.retries for api in crew))
    return journal


def read_back(given: argparse.Namespace, journal: Journal, stop: Event) -> None:
    """Compares everything with the journal; DifferenceError."""
    crew = [Api(given.url, email, Signer(given.data), stop) for email in journal.users]
    with Meter("verify", journal.counts()[1]) as meter:
        work = partial(verify, is_whole=journal.is_finished, meter=meter)
        at_once(work, crew, list(journal.users.values()), stop)
    summarise("read back", journal, meter, sum(api.retries for api in crew))


def summarise(what: str, journal: Journal, meter: Meter, retries: int) -> None:
    conversations, messages = journal.counts()
    amounts = f"{conversations} conversations, {messages} messages, {len(journal.users)} users"
    speed = f"{meter.seconds:.1f} s, {messages / meter.seconds:.0f} messages/s"
    print(f"{what:<9}  {amounts}: {speed}, {retries} retries", flush=True)


def up_to_100(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 100:
        raise argparse.ArgumentTypeError(f"{text} is not a number from 1 to 100")
    return int(text)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Replay conversations through the HTTP API.")
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE")
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--users", type=up_to_100, default=4, help="at once; default 4")
    parser.add_argument("--batch", type=up_to_100, default=1, help="messages a request; default 1")
    parser.add_argument("--journal", type=Path, help="a new file: what was acknowledged")
    parser.add_argument("--verify-only", type=Path, metavar="JOURNAL", help="send nothing, compare")
    parser.add_argument("--data", type=Path, default=Path(".data"), help="of `make run`")
    given = parser.parse_args(arguments)
    if bool(given.files) == bool(given.verify_only):
        parser.error("give either FILE… or --verify-only JOURNAL")
    return given


def main(arguments: Sequence[str] | None = None) -> int:
    given, stop = parse(arguments), Event()
    try:
        journal = Journal.load(given.verify_only) if given.verify_only else replay(given, stop)
        read_back(given, journal, stop)
    except DifferenceError as error:
        print(f"compared   1 difference, the rest was not looked at\n{error}")
        return 1
    except (CallError, FileError, OSError) as error:
        print(f"replay: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    print("compared   0 differences")
    return 0


if __name__ == "__main__":
    sys.exit(main())
