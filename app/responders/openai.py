"""The responder that passes a question on to a model, and its answer back."""

from collections.abc import Generator
from contextlib import closing

from .base import Event, Prompt
from .chat_completions import messages
from .chat_model import ChatModel
from .tool_calls import CallPiece


class OpenAIResponder:
    """Answers with a model; its faults are those of `ChatModel`."""

    def __init__(self, model: ChatModel) -> None:
        self._model = model

    def stream(self, prompt: Prompt) -> Generator[Event, None, None]:
        """The answer's events. Closing the generator closes the connection at once."""
        with closing(self._model.answer(messages(prompt), model=prompt.model)) as answer:
            for event in answer:
                if not isinstance(event, CallPiece):  # it was given no tools to call
                    yield event
