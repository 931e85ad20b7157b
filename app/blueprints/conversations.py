"""/conversations: own conversations, and what was said in them."""

from typing import Any

from flask import Response, url_for

from ..json_text import dumps
from ..schemas.conversations import (
    APPEND_EXAMPLE,
    CONVERSATION_EXAMPLE,
    AppendAnswer,
    AppendRequest,
    ConversationCreate,
    ConversationPage,
    ConversationRecord,
    ConversationUpdate,
    ConversationWithMessages,
    DeleteAnswer,
    DeleteQuery,
    ListQuery,
    MessagePage,
    MessagesQuery,
    ReadQuery,
)
from ..services.history import Reading
from ..services.messages import Draft
from .blueprint import Blueprint, described, json_response, page_link
from .current import owner, services

blueprint = Blueprint(
    "conversations",
    url_prefix="/conversations",
    description="Own conversations and their messages",
    parameters={"conversation_id": "The conversation's id, or the client's own id for it."},
)
_record = ConversationRecord()
_PLACE = described(Location="Where the conversation is read.")
_NEXT = described(Link='The next page, with rel="next" (RFC 8288); none at the end.')


@blueprint.get("")
@blueprint.arguments(ListQuery, location="query")
@blueprint.response(200, ConversationPage, headers=_NEXT)
def search(query: dict[str, Any]) -> Any:
    """Own conversations, newest activity first"""
    page = services.conversations.page(owner(), **query)
    body = ConversationPage().dump(page)
    headers = page_link(cursor=page.next_cursor) if page.next_cursor else None
    return json_response(body, headers=headers)


@blueprint.post("")
@blueprint.rate("create")
@blueprint.fails(404, 409)
@blueprint.arguments(ConversationCreate, example=CONVERSATION_EXAMPLE)
@blueprint.response(201, ConversationWithMessages, headers=_PLACE)
@blueprint.alt_response(
    200, schema=ConversationWithMessages, description="Made before", headers=_PLACE
)
def create(body: dict[str, Any]) -> Response:
    """Make a conversation, with its first messages if there are any"""
    drafts = [Draft(**message) for message in body.pop("messages", ())]
    client_id = body.pop("client_id", None)
    created = services.conversations.create(owner(), body, drafts, client_id=client_id)
    address = url_for(".read", conversation_id=str(created.reading.record.id))
    status = 200 if created.is_replay else 201
    return _written(created.reading, status=status, headers={"Location": address})


@blueprint.get("/<string(maxlength=64):conversation_id>")
@blueprint.arguments(ReadQuery, location="query")
@blueprint.response(200, ConversationWithMessages)
def read(query: dict[str, Any], conversation_id: str) -> Response:
    """A conversation with the last messages of its active path"""
    return _written(services.conversations.read(owner(), conversation_id, **query))


@blueprint.patch("/<string(maxlength=64):conversation_id>")
@blueprint.arguments(ConversationUpdate)
@blueprint.response(200, ConversationRecord)
def update(body: dict[str, Any], conversation_id: str) -> Any:
    """Rename a conversation, or change its mode, tags or metadata"""
    return services.conversations.update(owner(), conversation_id, body)


@blueprint.delete("/<string(maxlength=64):conversation_id>")
@blueprint.arguments(DeleteQuery, location="query")
@blueprint.response(200, DeleteAnswer)
def delete(query: dict[str, Any], conversation_id: str) -> dict[str, Any]:
    """Put a conversation into the trash, or delete it for good"""
    remove = services.conversations.erase if query["permanent"] else services.conversations.trash
    revision = remove(owner(), conversation_id)
    return {"success": True, "id": conversation_id, "revision": revision}


@blueprint.get("/<string(maxlength=64):conversation_id>/messages")
@blueprint.arguments(MessagesQuery, location="query")
@blueprint.response(200, MessagePage, headers=_NEXT)
def search_messages(query: dict[str, Any], conversation_id: str) -> Response:
    """Messages of the active path, oldest first, a page from the end or around a message"""
    page = services.conversations.turns(owner(), conversation_id, **query)
    if not page.has_more:
        return json_response({"messages": page.turns, "next_cursor": None})
    way, edge = ("after", -1) if "after" in query else ("before", 0)
    cursor = page.turns[edge].id
    body = {"messages": page.turns, "next_cursor": cursor}
    return json_response(body, headers=page_link(**{way: cursor}))


@blueprint.post("/<string(maxlength=64):conversation_id>/messages")
@blueprint.fails(409)
@blueprint.arguments(AppendRequest, example=APPEND_EXAMPLE)
@blueprint.response(201, AppendAnswer)
@blueprint.alt_response(200, schema=AppendAnswer, description="Stored before: nothing changed")
def create_messages(body: dict[str, Any], conversation_id: str) -> Response:
    """Store messages without asking a model"""
    drafts = [Draft(**message) for message in body["messages"]]
    appended = services.conversations.append(owner(), conversation_id, drafts)
    answer = {
        "conversation_id": appended.conversation_id,
        "revision": appended.revision,
        "messages": appended.turns,
    }
    return json_response(answer, status=200 if appended.is_replay else 201)


def _written(
    reading: Reading, *, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    """The record with its messages, which are JSON already, spliced in."""
    record = dumps(_record.dump(reading.record))
    body = b'%b,"messages":%b}' % (record[:-1], reading.messages)
    return json_response(body, status=status, headers=headers)
