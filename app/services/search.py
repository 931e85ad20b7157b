from collections.abc import Sequence

from ..database import Database
from ..repositories.messages import MessageRepository
from ..responders.recall import Passage
from ..search_words import any_of


class SearchService:
    def __init__(self, database: Database) -> None:
        self._database = database

    def passages(self, owner: str, question: str, limit: int) -> Sequence[Passage]:
        """The owner's messages that share the most telling words of a question, best first."""
        words = any_of(question)
        if not words:
            return ()
        with self._database.statement(owner) as session:
            rows = MessageRepository(session).search(words, asked=question, take=limit)
        return [Passage(**row._mapping) for row in rows]
