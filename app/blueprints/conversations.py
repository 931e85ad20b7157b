"""/conversations: own conversations."""

from typing import Any

from flask import Response, url_for

from ..json_text import dumps
from ..revisions import Revision
from ..schemas.conversations import (
    CONVERSATION_EXAMPLE,
    ConversationCreate,
    ConversationPage,
    ConversationRecord,
    ConversationUpdate,
    ConversationWithMessages,
    DeleteAnswer,
    DeleteQuery,
    ReadQuery,
)
from ..schemas.lists import BULK_EXAMPLE, BulkAnswer, BulkRequest, ListQuery
from ..services.history import Reading
from ..services.messages import Draft
from ..services.once import Once
from .blueprint import LONG_ADDRESS, NEXT, Blueprint, described, json_response, page_link
from .current import owner, services
from .once import keyed
from .revisions import ETAG, NOT_MODIFIED, expected, tagged, unless_known

blueprint = Blueprint(
    "conversations",
    url_prefix="/conversations",
    description="Own conversations",
    parameters={"conversation_id": "The conversation's id, or the client's own id for it."},
)
_record = ConversationRecord()
_PLACE = described(Location="Where the conversation is read.")


@blueprint.get("")
@blueprint.arguments(ListQuery, location="query")
@blueprint.response(200, ConversationPage, headers=NEXT)
@blueprint.alt_response(414, **LONG_ADDRESS)
def search(query: dict[str, Any]) -> Any:
    """Own conversations, newest activity first; or what lies in the trash"""
    page = services.lists.page(owner(), **query)
    body = b'{"conversations":%b,"next_cursor":%b}' % (page.array, dumps(page.next_cursor))
    headers = page_link(cursor=page.next_cursor) if page.next_cursor else None
    return json_response(body, headers=headers)


@blueprint.post("")
@blueprint.rate("create")
@blueprint.fails(404, 409)
@blueprint.arguments(ConversationCreate, example=CONVERSATION_EXAMPLE)
@blueprint.response(201, ConversationWithMessages, headers=_PLACE | ETAG)
@blueprint.alt_response(
    200, schema=ConversationWithMessages, description="Made before", headers=_PLACE | ETAG
)
@keyed(blueprint)
def create(body: dict[str, Any], once: Once | None) -> Response:
    """Make a conversation, with its first messages if there are any"""
    drafts = [Draft(**message) for message in body.pop("messages", ())]
    client_id = body.pop("client_id", None)
    created = services.conversations.create(owner(), body, drafts, client_id=client_id, once=once)
    address = url_for(".read", conversation_id=str(created.reading.conversation_id))
    status = 200 if created.is_replay else 201
    return written(created.reading, status=status, headers={"Location": address})


@blueprint.get("/<string(maxlength=64):conversation_id>")
@blueprint.arguments(ReadQuery, location="query")
@blueprint.response(200, ConversationWithMessages, headers=ETAG)
@blueprint.alt_response(304, **NOT_MODIFIED)
@unless_known
def read(query: dict[str, Any], conversation_id: str) -> Response:
    """A conversation with the last messages of the branch that is shown"""
    return written(services.conversations.read(owner(), conversation_id, **query))


@blueprint.patch("/<string(maxlength=64):conversation_id>")
@blueprint.fails(409, 412)
@blueprint.arguments(ConversationUpdate)
@blueprint.response(200, ConversationRecord, headers=ETAG)
@keyed(blueprint)
def update(body: dict[str, Any], conversation_id: str, once: Once | None) -> Response:
    """Rename, pin or archive a conversation, or change its mode, tags or metadata"""
    condition = expected(body.pop("revision", None))
    record = services.conversations.update(
        owner(), conversation_id, body, expected=condition, once=once
    )
    return tagged(json_response(_record.dump(record)), Revision.of(record))


@blueprint.delete("/<string(maxlength=64):conversation_id>")
@blueprint.arguments(DeleteQuery, location="query")
@blueprint.fails(412)
@blueprint.response(200, DeleteAnswer, headers=ETAG)
def delete(query: dict[str, Any], conversation_id: str) -> Response:
    """Put a conversation into the trash, or delete it for good"""
    answer = {"success": True, "id": conversation_id}
    if query["permanent"]:
        services.conversations.erase(owner(), conversation_id, expected=expected())
        return json_response(answer | {"revision": None})
    revision = services.conversations.trash(owner(), conversation_id, expected=expected())
    return tagged(json_response(answer | {"revision": revision.number}), revision)


@blueprint.post("/<string(maxlength=64):conversation_id>/restore")
@blueprint.fails(412)
@blueprint.response(200, ConversationRecord, headers=ETAG)
@keyed(blueprint)
def restore(conversation_id: str, once: Once | None) -> Response:
    """Take a conversation out of the trash"""
    record = services.trash.restore(owner(), conversation_id, expected=expected(), once=once)
    return tagged(json_response(_record.dump(record)), Revision.of(record))


@blueprint.post("/bulk")
@blueprint.arguments(BulkRequest, example=BULK_EXAMPLE)
@blueprint.response(200, BulkAnswer)
@keyed(blueprint)
def bulk(body: dict[str, Any], once: Once | None) -> Any:
    """Change many conversations at once: up to 100 by their ids, or 1,000 by a filter"""
    if "wanted" in body:
        return services.bulk.change_where(owner(), **body, once=once)
    return services.bulk.change(owner(), **body, once=once)


def written(
    reading: Reading, *, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    """The record with its messages: JSON already, joined as it is."""
    body = b'%b,"messages":%b}' % (reading.record[:-1], reading.messages)
    return tagged(json_response(body, status=status, headers=headers), reading.revision)
