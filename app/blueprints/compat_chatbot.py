"""The ChatBot service's routes: one current conversation, and answers that come whole."""

from typing import Any

from flask import Request, Response
from marshmallow import Schema

from ..errors import FieldFault, InvalidFieldsError, MalformedError
from ..json_text import dumps, loads
from ..schemas.compat import (
    ChatbotAnswer,
    ChatbotBegun,
    ChatbotConversations,
    ChatbotHistory,
    ChatbotQuestion,
    ChatbotReference,
    Said,
)
from ..services.compat import Pair
from ..storable import check_storable, read_json
from ..streaming.events import Done
from .arguments import StrictParser, whole_body
from .blueprint import Blueprint
from .current import identity, owner, services
from .wires import respond_whole

_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
_TEXTS = frozenset({"message", "model", "context", "conversation_id"})
_NOTES = ("model", "context", "deep_thinking", "tools", "memory_ids")
_EXAMPLE = {"message": "What should I see in Huế?", "model": "gemini", "context": "casual"}
_answer = ChatbotAnswer()


class FormsToo(StrictParser):
    """Takes forms as well: what is no text stands in them as JSON."""

    def load_json(self, req: Request, schema: Schema) -> Any:
        return _form(req) if req.mimetype in _FORMS else super().load_json(req, schema)


class ChatbotBlueprint(Blueprint):
    ARGUMENTS_PARSER = FormsToo()


blueprint = ChatbotBlueprint(
    "compat_chatbot",
    url_prefix="/compat/chatbot",
    description="For clients of the ChatBot service. Bodies may be forms, too: what is no text "
    "stands in them as JSON. A problem's `detail` is its `error`, too.",
)


@blueprint.after_request
def tell_error(response: Response) -> Response:
    """Those clients look for one member of a problem."""
    if response.mimetype == "application/problem+json":
        problem = loads(response.data)
        response.data = dumps(problem | {"error": problem["detail"]})
    return response


@blueprint.post("/chat")
@blueprint.rate("chat")
@blueprint.fails(404, 502, 504)
@blueprint.arguments(ChatbotQuestion, example=_EXAMPLE)
@blueprint.response(200, ChatbotAnswer)
def create(body: dict[str, Any]) -> Response:
    """Ask in the current conversation; the answer comes whole"""
    notes = {name: body[name] for name in _NOTES}
    events = services.compat.ask(identity(), body["message"], notes, body["history"])
    return respond_whole(events, lambda _started, done: _answered(done, notes))


@blueprint.post("/clear")
@blueprint.response(200, Said)
def clear() -> dict[str, str]:
    """Let the next question begin a new conversation; nothing is deleted"""
    services.compat.end(owner())
    return {"message": "The next message begins a new conversation."}


@blueprint.get("/history")
@blueprint.response(200, ChatbotHistory)
def read() -> dict[str, Any]:
    """What was said last in the current conversation, by pairs"""
    return {"history": [_shown(pair) for pair in services.compat.pairs(owner())]}


@blueprint.post("/new-conversation")
@blueprint.rate("create")
@blueprint.response(200, ChatbotBegun)
def begin() -> dict[str, Any]:
    """Begin a new conversation, unless nothing was said in the current one"""
    begun = services.compat.begin(owner())
    return {"message": "A new conversation has begun.", "conversation_id": begun}


@blueprint.post("/delete-conversation")
@blueprint.fails(404)
@blueprint.arguments(ChatbotReference)
@blueprint.response(200, Said)
def delete(body: dict[str, Any]) -> dict[str, str]:
    """Put a conversation into the trash"""
    services.conversations.trash(owner(), body["conversation_id"])
    return {"message": "The conversation is in the trash."}


@blueprint.get("/list-conversations")
@blueprint.response(200, ChatbotConversations)
def search() -> Any:
    """The 200 conversations with the newest activity"""
    return services.compat.sessions(owner())


def _answered(done: Done, notes: dict[str, Any]) -> Any:
    said = {"response": done.turn.content, "timestamp": done.turn.created_at}
    return _answer.dump(notes | said)


def _shown(pair: Pair) -> dict[str, Any]:
    """What the client wrote beside a question comes back; the answer's model, where it did not."""
    question, answer = pair
    notes = question.metadata if question else {}
    return {
        "user": question.content if question else "",
        "assistant": answer.content if answer else "",
        "timestamp": pair.said_at,
        "model": notes.get("model") or (answer.model if answer else None),
        "context": notes.get("context"),
        "deep_thinking": notes.get("deep_thinking") is True,
    }


def _form(req: Request) -> Any:
    """A form's fields as JSON would have them. InvalidFieldsError: there are files among them."""
    body, req.max_form_memory_size = whole_body(req), req.max_content_length
    if any(file.filename for file in req.files.values()):
        raise InvalidFieldsError([FieldFault("/files", "can't be taken: send text only.")])
    try:
        body.decode()
    except UnicodeDecodeError:
        raise MalformedError("The form holds bytes that are no UTF-8.") from None
    fields = check_storable(req.form.to_dict())
    return {name: _value(name, text) for name, text in fields.items() if text or name in _TEXTS}


def _value(name: str, text: str) -> Any:
    if name in _TEXTS:
        return text
    try:
        return read_json(text.encode())
    except MalformedError:
        raise InvalidFieldsError([FieldFault(f"/{name}", "must be JSON.")]) from None
