"""What goes on at the moment: numbers of all users together, never whose."""

from concurrent.futures import Future, ThreadPoolExecutor

from sqlalchemy.exc import ProgrammingError

from ..database import Database
from ..errors import UnavailableError
from ..repositories.stats import active_conversations


class ActivityService:
    def __init__(self, database: Database, *, patience: float = 1.0) -> None:
        """`patience`: seconds that who asks waits for PostgreSQL."""
        self._database = database
        self._patience = patience
        self._reader = ThreadPoolExecutor(1, "parley-activity")
        self._reading: Future[int | None] | None = None

    def conversations(self) -> int | None:
        """How many got a message within 15 minutes; None when PostgreSQL does not say so in time.

        Whoever asks meanwhile waits for the same reading.
        """
        if self._reading is None or self._reading.done():
            self._reading = self._reader.submit(self._read)
        try:
            return self._reading.result(self._patience)
        except TimeoutError:
            return None

    def close(self) -> None:
        """Ends the thread that reads."""
        self._reader.shutdown(wait=False)

    def _read(self) -> int | None:
        try:
            with self._database.operation() as session:
                return active_conversations(session)
        except (UnavailableError, ProgrammingError):  # away, or not migrated
            return None
