"""Two workers on one PostgreSQL and one Redis that goes wrong: what both show is what is stored."""

from contextlib import suppress
from itertools import count
from uuid import UUID, uuid4

from hypothesis import stateful
from hypothesis import strategies as st

from app.cache.handles import Lease
from app.errors import ParleyError, RecordNotFoundError
from app.json_text import loads
from app.services.bulk import Change
from app.services.identity import Identity
from app.services.messages import Draft, Edit
from app.services.questions import Question
from app.writes import FRESH_SECONDS

from .spoiled import FAULTS, DiedError

WORKERS = st.integers(0, 1)
PLACES = st.integers(0, 1000)
LIMITS = st.sampled_from([1, 2, 5, 50, 70])

FOREIGN = b"somebody else's"


class Workers(stateful.RuleBasedStateMachine):
    """The test gives workers, `plain` (without a cache), `server`, `clock`, `rows` and `tally`."""

    def __init__(self):
        super().__init__()
        self.owner, self.stranger = (f"{uuid4().hex}@example.com" for _ in range(2))
        for owner in (self.owner, self.stranger):
            self.plain.services.users.see(Identity(user_email=owner, issuer="tests"))
        self.said = count()
        self.slow = []
        self.is_restarted = False
        made = self.plain.services.conversations.create(self.owner, {}, self._drafts(2))
        self.place = made.reading.conversation_id

    # What is written

    @stateful.rule(number=WORKERS, size=st.integers(1, 3))
    def append(self, number, size):
        self._do(number, lambda it: it.tree.append(self.owner, self._name, self._drafts(size)))

    @stateful.rule(number=WORKERS)
    def ask(self, number):
        question = Question(text=f"What is {next(self.said)}?", conversation=self._name)
        identity = Identity(user_email=self.owner, issuer="tests")

        def asked(services):
            watch = services.chat.ask(identity, question)
            for _ in watch.events:
                pass

        self._do(number, asked)

    @stateful.rule(number=WORKERS, place=PLACES)
    def edit(self, number, place):
        version = Edit(content=f"other {next(self.said)}")
        self._on_turn(number, place, lambda it, turn: it.tree.edit(*self._named, turn, version))

    @stateful.rule(number=WORKERS, place=PLACES)
    def show(self, number, place):
        with suppress(RecordNotFoundError):  # it may be in the trash
            turns = self.plain.services.tree.page(*self._named, self.window, branch="all").turns
            if turns:
                turn = turns[place % len(turns)].id
                self._do(number, lambda it: it.tree.show(*self._named, turn, limit=5))

    @stateful.rule(number=WORKERS, place=PLACES)
    def cut(self, number, place):
        self._on_turn(number, place, lambda it, turn: it.tree.cut(*self._named, turn))

    @stateful.rule(number=WORKERS)
    def rename(self, number):
        fields = {"title": f"Title {next(self.said)}"}
        self._do(number, lambda it: it.conversations.update(*self._named, fields))

    @stateful.rule(number=WORKERS, action=st.sampled_from(["archive", "unarchive", "pin", "trash"]))
    def change_many(self, number, action):
        self._do(number, lambda it: it.bulk.change(self.owner, Change(action), [self._name]))

    @stateful.rule(number=WORKERS)
    def trash_and_restore(self, number):
        self._do(number, lambda it: it.conversations.trash(*self._named))
        self._check()
        self._do(1 - number, lambda it: it.trash.restore(*self._named))

    @stateful.rule(number=WORKERS, is_erased=st.booleans())
    def begin_anew(self, number, is_erased):
        if is_erased:
            self._do(number, lambda it: it.conversations.erase(*self._named))
            self._check()

        def make(services):
            made = services.conversations.create(self.owner, {}, self._drafts(1))
            self.place = made.reading.conversation_id

        self._do(number, make)

    # What goes wrong

    @stateful.rule(number=WORKERS, planned=st.sampled_from(FAULTS))
    def go_wrong_next(self, number, planned):
        self.workers[number].copies.cache._fence.planned = dict(planned)
        self.tally[str(planned)] += 1

    @stateful.rule(number=WORKERS, planned=st.sampled_from(FAULTS))
    def go_wrong_now(self, number, planned):
        self.go_wrong_next(number, planned)
        self.append(number, 1)

    @stateful.rule(flushes=st.booleans())
    def forget(self, flushes):
        with self.server.raw() as raw:
            raw.flushall() if flushes else raw.delete(*raw.keys(f"*{self.place}*") or ["none"])
        self.tally["forgotten"] += 1

    @stateful.rule(number=WORKERS, place=PLACES)
    def write_nonsense(self, number, place):
        with self.server.raw() as raw:
            for key in raw.keys(f"h:*{self.place}*"):
                stored = raw.get(key)
                nonsense = [
                    stored[: place % (len(stored) + 1)],
                    b"V 1\n" + FOREIGN,
                    b"S x",
                    b"\x80\x04",
                ]
                raw.set(key, nonsense[place % 4], px=60_000)
        self.tally["nonsense"] += 1

    @stateful.rule()
    def restart_redis(self):
        if self.is_restarted:
            return
        self.is_restarted = True
        self.server.stop()
        self.tally["restarted"] += 1
        self.append(0, 1)
        self._check()
        self.server.start()

    # Who reads slowly

    @stateful.rule(number=WORKERS)
    def read_slowly(self, number):
        worker = self.workers[number]
        with suppress(RecordNotFoundError):
            found = worker.copies.cache.read(self.place, self.owner, 50)
            if isinstance(found, Lease):
                snapshot = worker.history.snapshot(self.owner, self.place, 50)
                self.slow.append((worker.copies.cache, found, snapshot))

    @stateful.rule(place=PLACES)
    def fill_at_last(self, place):
        if not self.slow:
            return
        cache, lease, snapshot = self.slow.pop(place % len(self.slow))
        cache.fill(lease, snapshot)

    @stateful.rule(number=WORKERS)
    def look(self, number):
        self.workers[number].copies.upkeep.look()

    @stateful.rule(seconds=st.sampled_from([0.4, 1.0, 2.0]))
    def let_time_pass(self, seconds):
        self.clock.sleep(seconds)

    @stateful.rule()
    def let_a_day_pass(self):
        """Notes that somebody has seen are known to all since; nobody has looked again."""
        aged = "UPDATE cache_outbox SET seen_at = seen_at - interval '1 day' RETURNING note"
        self.tally["known notes"] += len(self.rows.run(aged))
        self.clock.sleep(86_400)

    # What must be so

    @stateful.rule(limit=LIMITS, looks=st.booleans())
    def read(self, limit, looks):
        if looks:
            self._look()
        self._check_all(limit)

    @stateful.invariant()
    def is_shown_as_it_is_stored(self):
        self.tally["steps"] += 1
        self._check()

    def _look(self):
        for worker in self.workers:
            worker.copies.upkeep.look()

    def _check(self, limit=3):
        stored = self._seen(self.plain, limit)
        for worker in self.workers:
            assert self._seen(worker, limit) == stored
            self.tally["reads"] += 1

    def _check_all(self, limit):
        """Whatever is read of a conversation, by its owner and by a stranger."""
        self._check(limit)
        stored = self._led(self.plain)
        for worker in self.workers:
            assert self._led(worker) == stored
            with suppress(RecordNotFoundError):
                worker.history.revision(self.stranger, self.place)
                raise AssertionError("a stranger reads it")

    def _seen(self, worker, limit):
        with suppress(RecordNotFoundError):
            found = worker.history.read(self.owner, self.place, limit=limit)
            return found.revision, loads(found.record), loads(found.messages)

    def _led(self, worker):
        """Its revision, and what led to its last message."""
        with suppress(RecordNotFoundError):
            revision = worker.history.revision(self.owner, self.place)
            messages = loads(worker.history.read(self.owner, self.place, limit=1).messages)
            ids = [UUID(message["id"]) for message in messages]
            led = [worker.history.before(self.owner, self.place, it, count=2) for it in ids]
            return revision, led

    # How it is done

    @property
    def _name(self):
        return str(self.place)

    @property
    def _named(self):
        return self.owner, self._name

    def _drafts(self, size):
        return [Draft(role="user", content=f"said {next(self.said)} đ\n") for _ in range(size)]

    def _on_turn(self, number, place, change):
        turns = loads(shown.messages) if (shown := self._shown()) else []
        if turns:
            turn = turns[place % len(turns)]["id"]
            self._do(number, lambda services: change(services, turn))

    def _shown(self):
        with suppress(RecordNotFoundError):
            return self.plain.history.read(self.owner, self.place, limit=50)

    def _do(self, number, deed):
        """What a worker does, if it lives and may; as a rule both have looked a moment ago."""
        if next(self.said) % 4:
            self._look()
        try:
            deed(self.workers[number].services)
        except ParleyError:
            self.tally["refused"] += 1
        except DiedError:
            self.tally["died"] += 1
            if self.workers[number].copies.cache._fence.is_away:
                # What was committed was told to nobody; the others find its note within a while.
                self.clock.sleep(FRESH_SECONDS)
