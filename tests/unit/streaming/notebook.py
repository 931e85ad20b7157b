"""Runs and their journal, in memory."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID, uuid4

from app.errors import UnavailableError
from app.responders.base import FunctionResponder, Prompt
from app.streaming.mirrors import Mirrors
from app.streaming.relay import Relay
from app.streaming.run import Lease, Run, Ticket
from app.streaming.runner import Runner
from app.streaming.wire import Wire
from app.transcript import Turn

PROMPT = Prompt(question="Where is Huế?", user_email="ana@example.org")


@dataclass
class Notebook:
    """A journal in memory. `away` calls fail; `mumbles` more are carried out, but not confirmed.

    `lease` is what every run hears, `leases` what single ones do instead, by run_id.
    """

    chunks: dict = field(default_factory=dict)
    endings: dict = field(default_factory=dict)
    away: int = 0
    mumbles: int = 0
    lease: Lease = Lease.HELD
    leases: dict = field(default_factory=dict)
    renewals: int = 0

    def keep(self, pieces):
        self._be_away()
        leases = {piece.ticket.run_id: self._keep(piece) for piece in pieces}
        self.renewals += 1
        self._mumble()
        return leases

    def finish(self, ticket, answer, prompt, outcome):
        self._be_away()
        if self.lease is Lease.LOST:
            return None
        assert ticket.run_id not in self.endings, "an answer ended twice"
        self.endings[ticket.run_id] = (answer.text, outcome.error_class)
        return _turn(answer.text, outcome.status), 7

    @property
    def ending(self):
        """The only run's text and error_class, if it ended."""
        return next(iter(self.endings.values()), None)

    @property
    def text(self):
        return "".join(text for _, text in sorted(self.chunks.items()))

    def text_of(self, run):
        return "".join(
            text for (run_id, _), text in sorted(self.chunks.items()) if run_id == run.ticket.run_id
        )

    def _keep(self, piece):
        run_id = piece.ticket.run_id
        lease = self.leases.get(run_id, self.lease)
        if piece.text and lease in (Lease.HELD, Lease.STOPPED):
            self.chunks.setdefault((run_id, piece.n), piece.text)
        return lease

    def _be_away(self):
        if self.away:
            self.away -= 1
            raise UnavailableError

    def _mumble(self):
        if self.mumbles:
            self.mumbles -= 1
            raise UnavailableError


def _turn(text, status):
    return Turn(id=UUID(int=2), seq=2, parent_id=UUID(int=1), role="assistant", content=text,
                status=status, created_at=datetime.now(UTC))  # fmt: skip


def run_of(answer, journal, *, load_prompt=lambda: PROMPT, max_bytes=10**6):
    ids = {name: uuid4() for name in ("run_id", "conversation_id", "message_id")}
    return Run(
        Ticket(**ids, attempt=1, owner=PROMPT.user_email),
        wire=Wire(),
        journal=journal,
        responder=FunctionResponder(answer),
        load_prompt=load_prompt,
        max_bytes=max_bytes,
    )


def words(*said):
    return lambda prompt: iter(said)


def heard_of(run):
    """What is heard of a run to its end, without silences: events."""
    return [heard.event for heard in run.wire.watch() if heard]


def generated(answer, journal=None, **how):
    """A run that is over: its journal, what was heard, and the ending."""
    journal = journal or Notebook()
    run = run_of(answer, journal, **how)
    run.generate()
    *heard, ending = heard_of(run)
    return journal, heard, ending


def runner_of(journal, reap=lambda: 0, **how):
    """A runner in a process without Redis."""
    return Runner(reap, journal=journal, relay=Relay(None), mirrors=Mirrors(None), **how)
