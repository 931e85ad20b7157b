"""The tree does what a plain one does, whatever is done to it in whatever order."""

from types import SimpleNamespace
from uuid import UUID, uuid4

import pytest
from hypothesis import settings, stateful
from hypothesis import strategies as st

from app.services.messages import Draft, Edit
from app.services.windows import Window
from app.transcript import Under

pytestmark = pytest.mark.usefixtures("unmeasured")

PLACES = st.integers(0, 10_000)
ALL = Window(limit=1000)


class Conversation(stateful.RuleBasedStateMachine):
    """`messages`: the parent of each that is there, in the order they came; `leaf`: what is shown.

    Messages are numbered; `ids` has the ids that Parley gave them.
    """

    def __init__(self):
        super().__init__()
        self.owner = f"{uuid4().hex}@example.com"
        self.rows.run("INSERT INTO users (id, email) VALUES (gen_random_uuid(), :e)", e=self.owner)
        made = self.services.conversations.create(self.owner, {})
        self.conversation_id = str(made.reading.conversation_id)
        self.messages, self.ids, self.tokens, self.leaf = {}, [], {}, None
        self.revision, self.revs = self._state().revision, {self._state().rev}

    @stateful.rule(count=st.integers(1, 3), tokens=st.integers(0, 9))
    def append(self, count, tokens):
        self._appended(count, tokens, self.leaf, under=None)

    @stateful.rule(place=PLACES, count=st.integers(1, 3), is_root=st.booleans())
    def append_under(self, place, count, is_root):
        parent = None if is_root or not self.messages else self._any(place)
        under = Under(None if parent is None else self.ids[parent])
        self._appended(count, 1, parent, under=under)

    @stateful.precondition(lambda self: self.messages)
    @stateful.rule(place=PLACES)
    def edit(self, place):
        of = self._any(place)
        reference, version = str(self.ids[of]), Edit(content="v")
        edited = self.tree.edit(self.owner, self.conversation_id, reference, version)
        self._note(edited.turns, 0, self.messages[of])
        self._changed()

    @stateful.precondition(lambda self: self.messages)
    @stateful.rule(place=PLACES)
    def show(self, place):
        through = self._any(place)
        before = self.leaf
        self.tree.show(self.owner, self.conversation_id, self.ids[through], limit=1)
        self.leaf = self._end(through)
        if self.leaf != before:
            self._changed()

    @stateful.precondition(lambda self: self.messages)
    @stateful.rule(place=PLACES)
    def cut(self, place):
        top = self._any(place)
        parent, gone = self.messages[top], self._below(top)
        pruned = self.tree.cut(self.owner, self.conversation_id, str(self.ids[top]))
        assert pruned.deleted == len(gone)
        was_shown = top in self._path(self.leaf)
        for n in gone:
            del self.messages[n]
        if was_shown:
            others = [n for n, of in self.messages.items() if of == parent]
            end = max(others, default=parent)
            self.leaf = None if end is None else self._end(end)
        self._changed()

    @stateful.invariant()
    def is_as_the_model(self):
        record = self._state()
        leaf_id = None if self.leaf is None else self.ids[self.leaf]
        assert record.active_leaf_id == leaf_id
        assert record.message_count == len(self.messages)
        assert record.total_tokens == sum(self.tokens[n] for n in self.messages)
        assert record.revision == self.revision
        assert self._shown("active") == self._path(self.leaf)
        assert self._shown("all") == sorted(self.messages)
        if self.leaf is not None:
            siblings = self.tree.versions(self.owner, self.conversation_id, str(leaf_id), ALL)
            parent = self.messages[self.leaf]
            same = [n for n, of in self.messages.items() if of == parent]
            assert [self.ids.index(turn.id) for turn in siblings.turns] == sorted(same)

    def teardown(self):
        with self.verification() as verification:
            (part,) = verification.verify(address=self.owner, is_deep=True)
        assert part.findings == []

    def _appended(self, count, tokens, parent, *, under):
        drafts = [Draft(role="user", content=f"m{n}", tokens_used=tokens) for n in range(count)]
        stored = self.tree.append(self.owner, self.conversation_id, drafts, under=under)
        self._note(stored.turns, tokens, parent)
        self._changed()

    def _note(self, turns, tokens, parent):
        for turn in turns:
            self.ids.append(turn.id)
            n = len(self.ids) - 1
            self.messages[n], self.tokens[n] = parent, tokens
            self.leaf = parent = n

    def _changed(self):
        """Each visible change is one revision more, with a rev that was never there."""
        record = self._state()
        assert record.revision == self.revision + 1
        assert record.rev not in self.revs
        self.revision = record.revision
        self.revs.add(record.rev)

    def _state(self):
        reading = self.services.conversations.read(self.owner, self.conversation_id, limit=1)
        fields = reading.fields()
        leaf_id = fields["active_leaf_id"]
        own = {"active_leaf_id": leaf_id and UUID(leaf_id), "rev": reading.revision.rev}
        return SimpleNamespace(**fields | own)

    def _shown(self, branch):
        page = self.tree.page(self.owner, self.conversation_id, ALL, branch=branch)
        return [self.ids.index(turn.id) for turn in page.turns]

    def _any(self, place):
        return sorted(self.messages)[place % len(self.messages)]

    def _path(self, n):
        found = []
        while n is not None:
            found.append(n)
            n = self.messages[n]
        return found[::-1]

    def _below(self, top):
        found = {top}
        for n in sorted(self.messages):
            if self.messages[n] in found:
                found.add(n)
        return found

    def _end(self, through):
        """Where the path through a message ends: where it did, or with the newest below."""
        shown = set(self._path(self.leaf)) if self.leaf in self.messages else set()
        below = self._below(through)
        return max(below & shown or below)


def test_any_sequence_of_changes_gives_the_tree_that_a_plain_model_gives(parley, rows):
    parts = {
        "rows": rows,
        "services": parley.services,
        "tree": parley.services.tree,
        "verification": staticmethod(parley.operations.verification),
    }
    machine = type("OnPostgreSQL", (Conversation,), parts)
    stateful.run_state_machine_as_test(machine, settings=settings(stateful_step_count=20))
