"""How an answer ends."""

from dataclasses import dataclass

from ..errors import ModelError
from ..transcript import Turn
from .events import Failed


@dataclass(frozen=True, slots=True)
class Outcome:
    """`status` is the answer's, for good; `message` a sentence for people, where it is not whole.

    `error_class` is one stable word for ledgers and clients.
    """

    status: str
    error_class: str | None = None
    message: str = ""

    @classmethod
    def of(cls, error: ModelError | None) -> "Outcome":
        """What a responder's end, or its error, makes of its answer."""
        return cls("failed", error.error_class, str(error)) if error else COMPLETE

    def failed(self, turn: Turn | None = None, revision: int | None = None) -> Failed:
        """What watchers hear of it, with what is stored."""
        return Failed(self.status, self.error_class or self.status, self.message, turn, revision)


COMPLETE = Outcome("complete")
STOPPED = Outcome("cancelled", "stopped", "The answer was stopped. What was written of it is kept.")
SHUT_DOWN = Outcome(
    "interrupted", "shutdown", "The server is restarting. What was written of the answer is kept."
)
CRASHED = Outcome(
    "interrupted", "crashed", "The answer was broken off. What was kept of it is not lost."
)
FENCED = Outcome("interrupted", "fenced", "This answer was taken back before it was finished.")
UNSTORED = Outcome(
    "interrupted",
    "unavailable",
    "The answer could not be stored in time. What was kept of it until then is not lost.",
)
REAPED = {"stopped": STOPPED, "fenced": FENCED, "crashed": CRASHED}
"""By the cause for which the reaper ends a run."""
