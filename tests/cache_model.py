"""The FAST protocol as a model: every interleaving of writers and readers of one conversation.

Versions count commits: PostgreSQL's row lock puts writers in order. A value says of which version
it is, and has the content of one. Two processes each have every other writer and reader, and an
upkeep of their own, which may look at any time. Faults have a budget each; what they break is:

    old       a read that began after a write was acknowledged got what was before it, and no
              note tells of it: until the value expires
    noted     the same, while a note waits for the reader's upkeep
    stays     all is over, no note is left, and the value is old
"""

from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.cache_keys import ABSENT, Key, Value, begun, ended, expired, filled, marks_of, was_read
from tests.cache_states import (
    OVER,
    UPKEEP,
    Faults,
    Reader,
    Recipe,
    State,
    Upkeep,
    Writer,
    acknowledged,
    doubted,
    having,
    noted,
    spend,
    trusting,
)


class Explored(NamedTuple):
    states: int
    broken: frozenset[str]


def explore(recipe: Recipe, faults: Faults, *, writers: int = 2, readers: int = 2) -> Explored:
    """All states that can be reached, and what is broken in any of them."""
    actors = (*(Writer(),) * writers, *(Reader(),) * readers, Upkeep(), Upkeep())
    firsts = [State(actors, faults, key=key) for key in (ABSENT, Value(0, 0))]
    seen, waiting, broken = {*firsts}, deque(firsts), set()
    steps = Steps(recipe)
    while waiting:
        state = waiting.popleft()
        if _is_old_for_good(state):
            broken.add("stays")
        for following, fault in steps.after(state):
            if fault:
                broken.add(fault)
            if following not in seen:
                seen.add(following)
                waiting.append(following)
    return Explored(len(seen), frozenset(broken))


def _is_old_for_good(state: State) -> bool:
    is_over = not (state.note or state.late) and all(
        isinstance(actor, Upkeep) or actor.step == OVER for actor in state.actors
    )
    return is_over and isinstance(state.key, Value) and state.key.content < state.stored


Step = tuple[State, str | None]


class Steps:
    """What may happen next, with what it breaks."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe

    def after(self, state: State) -> Iterator[Step]:
        for following in self._happening(state):
            yield following, None
        for place, actor in enumerate(state.actors):
            if isinstance(actor, Writer):
                yield from ((it, None) for it in self._written(state, place, actor))
            elif isinstance(actor, Reader):
                yield from self._read(state, place, actor)
            else:
                yield from ((it, None) for it in self._kept(state, place, actor))

    def _happening(self, state: State) -> Iterator[State]:
        """What nobody does: time, and faults."""
        for command in state.late:
            now = state._replace(late=state.late - {command})
            yield now._replace(key=self._carried_out(now.key, command))
        for token in marks_of(state.key)[:1]:
            is_over = state.actors[token].step == OVER
            if is_over or state.left.expired:
                spent = state if is_over else spend(state, "expired")
                yield spent._replace(key=expired(state.key))
        if state.left.forgotten and state.key != ABSENT:
            yield spend(state, "forgotten")._replace(key=ABSENT)
        if state.left.rolled_back:
            yield state._replace(past=state.key)
            yield spend(state, "rolled_back")._replace(key=state.past)
        if state.note:  # who did not look for long shows nothing
            for process, is_trusting in enumerate(state.trusting):
                if is_trusting:
                    yield trusting(state, process, is_trusting=False)

    # Writers

    def _written(self, state: State, place: int, writer: Writer) -> Iterator[State]:
        if writer.step == "begin":
            yield from self._begun(state, place)
        elif writer.step == "unlink":
            yield from self._unlinked(state, place, writer)
        elif writer.step == "commit":
            yield from self._committed(state, place, writer)
        elif writer.step == "end":
            yield from self._ended(state, place, writer)
        elif writer.step == "note":
            yield having(noted(state), place, writer._replace(step="wait"))
            if state.left.died:
                yield having(spend(state, "died"), place, Writer(OVER))
        elif writer.step == "wait" and (not state.note or state.trusting == (False, False)):
            yield acknowledged(having(state, place, Writer(OVER)), writer)

    def _begun(self, state: State, place: int) -> Iterator[State]:
        ready = Writer("commit")
        if not self._recipe.begins:
            yield having(state, place, ready)
            return
        key, frame = begun(state.key, place)
        yield having(state._replace(key=key), place, ready._replace(frame=frame))
        if state.left.unheard:
            yield having(spend(state, "unheard"), place, ready)
        for unsure in self._unanswered(state, ("begin", place)):
            is_doubtful = self._recipe.notes_when == "begin"
            yield having(unsure, place, Writer("unlink", is_doubtful=is_doubtful))

    def _unlinked(self, state: State, place: int, writer: Writer) -> Iterator[State]:
        ready = writer._replace(step="commit")
        yield self._noted_early(having(state._replace(key=ABSENT), place, ready), place)
        for unsure in self._unanswered(state, ("unlink",)):
            doubtful = having(unsure, place, ready._replace(is_doubtful=True))
            yield self._noted_early(doubted(doubtful, place), place)

    def _noted_early(self, state: State, place: int) -> State:
        """A wrong recipe: the note has a transaction of its own, before the write's."""
        writer = state.actors[place]
        is_due = isinstance(writer, Writer) and writer.is_doubtful
        is_early = is_due and not self._recipe.notes_with_the_write
        return noted(state) if is_early else state

    def _committed(self, state: State, place: int, writer: Writer) -> Iterator[State]:
        version = state.stored + 1
        done = having(
            state._replace(stored=version), place, writer._replace(step="end", version=version)
        )
        is_noted = writer.is_doubtful and self._recipe.notes_with_the_write
        yield noted(done) if is_noted else done
        yield having(state, place, writer._replace(step="end"))  # it comes to nothing
        if state.left.died:
            yield having(spend(state, "died"), place, Writer(OVER))

    def _ended(self, state: State, place: int, writer: Writer) -> Iterator[State]:
        over = having(state, place, Writer(OVER))
        told = acknowledged(over, writer)
        command = self._ending(place, writer)
        yield told._replace(key=self._carried_out(state.key, command))
        if state.left.unheard:
            yield spend(told, "unheard")
        if state.left.died:
            yield spend(over, "died")
        for unsure in self._unanswered(state, command):
            yield doubted(self._unended(unsure, place, writer), place)

    def _unended(self, state: State, place: int, writer: Writer) -> State:
        """What a writer does about an END that was not answered."""
        over = acknowledged(having(state, place, Writer(OVER)), writer)
        if not (writer.version and self._recipe.waits):
            return over
        return having(state, place, writer._replace(step="wait" if writer.is_doubtful else "note"))

    def _ending(self, place: int, writer: Writer) -> tuple[Any, ...]:
        """END, with the value that the writer knows."""
        frame, version = writer.frame, writer.version
        if not version:
            return ("end", place, frame.version if frame else 0, frame)
        follows = frame and (frame.version == version - 1 or self._recipe.splices_from_any)
        value = Value(version, frame.content + 1) if frame and follows else None
        return ("end", place, version, value)

    # Readers

    def _read(self, state: State, place: int, reader: Reader) -> Iterator[Step]:
        if reader.step == "read":
            yield from self._looked_up(state, place)
        elif reader.step == "drop":
            is_spared = self._recipe.drops_values_alone and not isinstance(state.key, Value)
            key = state.key if is_spared else ABSENT
            yield having(state._replace(key=key), place, Reader(OVER)), None
        elif reader.step == "select":
            yield having(state, place, reader._replace(step="fill", seen=state.stored)), None
        elif reader.step == "fill":
            yield from self._filled(state, place, reader)

    def _looked_up(self, state: State, place: int) -> Iterator[Step]:
        over, began = having(state, place, Reader(OVER)), state.acknowledged
        if not state.trusting[place % 2]:
            yield over, None
            return
        for unsure in self._unanswered(over, ("read", place)):
            yield doubted(unsure, place), None
        if isinstance(state.key, Value):
            yield over, self._staleness(state, place)
            yield having(state, place, Reader("drop")), None  # too short, or undecodable
            return
        key, is_leased = was_read(state.key, place)
        leased = having(state, place, Reader("select", since=began))
        yield (leased if is_leased else over)._replace(key=key), None

    def _staleness(self, state: State, place: int) -> str | None:
        if not isinstance(state.key, Value) or state.key.content >= state.acknowledged:
            return None
        return "noted" if state.note else "old"

    def _filled(self, state: State, place: int, reader: Reader) -> Iterator[Step]:
        over = having(state, place, Reader(OVER))
        command = ("fill", place, reader.seen)
        broken = "old" if reader.seen < reader.since else None
        yield over._replace(key=self._carried_out(state.key, command)), broken
        yield from ((it, None) for it in self._unanswered(over, command))

    # Upkeep

    def _kept(self, state: State, place: int, upkeep: Upkeep) -> Iterator[State]:
        if upkeep.step == "look" and not state.note:
            yield trusting(state, place, is_trusting=True)
        elif upkeep.step == "look":
            told = Upkeep("deliver", state.note, state.stored)
            yield doubted(having(state, place, told), place)
        elif upkeep.step == "deliver":
            command = ("end", UPKEEP, upkeep.version, None)
            forgets = having(state, place, upkeep._replace(step="forget"))
            yield forgets._replace(key=self._carried_out(state.key, command))
            yield from self._unanswered(having(state, place, Upkeep()), command)
        else:
            done = having(state, place, Upkeep())
            is_same = state.note == upkeep.note
            yield done._replace(note=0) if is_same else done

    # Commands

    def _carried_out(self, key: Key, command: tuple[Any, ...]) -> Key:
        match command:
            case ("begin", token):
                return begun(key, token)[0]
            case ("unlink",):
                return ABSENT
            case ("read", nonce):
                return was_read(key, nonce)[0]
            case ("fill", nonce, version):
                lease = nonce if self._recipe.fills_with_lease else None
                return filled(key, lease, version)
            case (_, token, version, value):
                if key == ABSENT and value and self._recipe.ends_into_holes:
                    return Value(*value)
                return ended(key, token, version, value)
        raise AssertionError(command)

    def _unanswered(self, state: State, command: tuple[Any, ...]) -> Iterator[State]:
        """`state` where nothing was heard of a command: it comes never, now or later."""
        if state.left.unanswered:
            spent = spend(state, "unanswered")
            yield spent
            yield spent._replace(key=self._carried_out(spent.key, command))
            if command[0] not in {"read", "fill"}:  # a lease that is late is one of nobody
                yield spent._replace(late=spent.late | {command})
