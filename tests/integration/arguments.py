"""What methods of services take beside the owner."""

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

from app.clock import now
from app.repositories.messages import SentMessage
from app.revisions import Revision
from app.services.bulk import Change
from app.services.conversations import Source
from app.services.lists import ListFilter
from app.services.messages import Draft, Edit
from app.services.once import Effect, Result
from app.services.prompts import Begun
from app.services.questions import Asking, Question, Wishes
from app.services.search import Search
from app.services.stats import Period
from app.services.ui import Said, UiQuestion
from app.services.windows import Window
from app.streaming.answer import Answer
from app.streaming.events import Started
from app.streaming.outcome import COMPLETE, Outcome
from app.streaming.run import Ticket
from app.transcript import Turn

TURN = Turn(
    id=uuid4(),
    seq=1,
    parent_id=None,
    role="user",
    content="Hello",
    status="complete",
    created_at=now(),
)
TICKET = Ticket(
    run_id=uuid4(),
    attempt=1,
    owner="somebody@example.com",
    conversation_id=uuid4(),
    message_id=uuid4(),
)
ROW = SimpleNamespace(id=uuid4(), parent_id=uuid4(), system_prompt=None, mode=None, model=None)

# One argument of each kind that methods take; a text is an id of a client's own.
ARGUMENTS = {
    str: "chat-1",
    int: 5,
    float: 5.0,
    UUID: uuid4(),
    Answer: Answer(max_bytes=100),
    Change: Change("archive"),
    Effect[Result]: Effect(lambda session: session.run("SELECT 1", {}), dict, dict),
    ListFilter: ListFilter(),
    Sequence[str]: ["chat-1"],
    Mapping[str, Any]: {},
    Begun: Begun(Asking.of(Question(text="What was said?")), TICKET, [ROW]),
    Question: Question(text="What was said?"),
    UiQuestion: UiQuestion(
        conversation="chat-1",
        said=Said(text="What was said?"),
        message="q-1",
        is_again=False,
        wishes=Wishes(),
    ),
    Sequence[Draft]: [Draft(role="user", content="Hello")],
    Turn: TURN,
    SentMessage: SentMessage(TURN, None, Revision(1, uuid4()), None),
    Started: Started(
        conversation_id=uuid4(),
        message_id=uuid4(),
        user_message_id=uuid4(),
        revision=1,
        title=None,
    ),
    Outcome: COMPLETE,
    Source: Source("client", "chat-1"),
    Edit: Edit(content="Hello"),
    Mapping[str, str]: {"q-1": ""},
    Window: Window(limit=5),
    Search: Search(text="chat-1"),
    Wishes: Wishes(),
    Period: Period.between(),
}
