"""/conversations/{id}/messages: what was said, in each of its versions, and the branch shown."""

from collections.abc import Sequence
from typing import Any

from flask import Response, request

from ..schemas.chat import ChatAnswer, ChatEvent, ChatQuery, RetryRequest
from ..schemas.conversations import ConversationWithMessages, ReadQuery
from ..schemas.messages import (
    APPEND_EXAMPLE,
    EDIT_EXAMPLE,
    ActiveLeaf,
    AppendAnswer,
    AppendRequest,
    BranchQuery,
    CutAnswer,
    MessageAnswer,
    MessageEdit,
    MessagePage,
    MessagesAnswer,
    MessagesQuery,
)
from ..services.messages import Draft, Edit, Stored
from ..services.once import Once
from ..services.questions import Wishes
from ..services.windows import TurnPage, Window
from ..streaming.ui import ui_message
from ..transcript import Under
from .blueprint import NEXT, TEXT, Blueprint, json_response, page_link
from .chat import EVENT_EXAMPLE, IDS, TEXT_EXAMPLE
from .conversations import written
from .current import identity, owner, services
from .once import keyed, with_client_id
from .revisions import ETAG, NOT_MODIFIED, expected, tagged, unless_known
from .wires import respond, wanted_wire

blueprint = Blueprint(
    "messages",
    url_prefix="/conversations/<string(maxlength=64):conversation_id>",
    description="Messages of a conversation: a tree, of which one branch is shown",
    parameters={
        "conversation_id": "The conversation's id, or the client's own id for it.",
        "message_id": "The message's id, or the client's own id for it.",
    },
)
_ONE = "/messages/<string(maxlength=64):message_id>"


@blueprint.get("/messages")
@blueprint.arguments(BranchQuery, location="query")
@blueprint.response(200, MessagesAnswer, headers=NEXT | ETAG)
@blueprint.alt_response(304, **NOT_MODIFIED)
@unless_known
def search(query: dict[str, Any], conversation_id: str) -> Response:
    """Messages of the shown branch or of all, oldest first, a page from the end or around one"""
    branch, form, window = query.pop("branch"), query.pop("format", None), Window(**query)
    found = services.conversations.find(owner(), conversation_id)
    page = services.tree.page(owner(), str(found), window, branch=branch)
    shown = [ui_message(turn, found) for turn in page.turns] if form == "ui" else page.turns
    return _paged(page, window, shown)


@blueprint.post("/messages")
@blueprint.fails(409, 412)
@blueprint.arguments(AppendRequest, example=APPEND_EXAMPLE)
@blueprint.response(201, AppendAnswer, headers=ETAG)
@blueprint.alt_response(200, schema=AppendAnswer, description="Stored before", headers=ETAG)
@keyed(blueprint)
def create(body: dict[str, Any], conversation_id: str, once: Once | None) -> Response:
    """Store messages without asking a model: at the end of the shown branch, or under a message"""
    drafts = [Draft(**message) for message in body["messages"]]
    under = Under(body["parent_id"]) if "parent_id" in body else None
    appended = services.tree.append(
        owner(), conversation_id, drafts, under=under, expected=expected(), once=once
    )
    return _answer(appended, messages=appended.turns)


@blueprint.get(_ONE)
@blueprint.response(200, MessageAnswer, headers=ETAG)
@blueprint.alt_response(304, **NOT_MODIFIED)
@unless_known
def read(conversation_id: str, message_id: str) -> Response:
    """One message, of whatever branch"""
    found = services.tree.find(owner(), conversation_id, message_id)
    return _answer(found, status=200, message=found.turns[0])


@blueprint.patch(_ONE)
@blueprint.fails(409, 412)
@blueprint.arguments(MessageEdit, example=EDIT_EXAMPLE)
@blueprint.response(201, MessageAnswer, headers=ETAG)
@blueprint.alt_response(200, schema=MessageAnswer, description="Stored before", headers=ETAG)
@keyed(blueprint)
def update(
    body: dict[str, Any], conversation_id: str, message_id: str, once: Once | None
) -> Response:
    """Say a message differently: the new version is shown, the old one and what followed stay"""
    condition = expected(body.pop("revision", None))
    edited = services.tree.edit(
        owner(), conversation_id, message_id, Edit(**body), expected=condition, once=once
    )
    return _answer(edited, message=edited.turns[0])


@blueprint.delete(_ONE)
@blueprint.fails(412)
@blueprint.response(200, CutAnswer, headers=ETAG)
@keyed(blueprint)
def delete(conversation_id: str, message_id: str, once: Once | None) -> Response:
    """Delete a message and all that follows from it, on every branch"""
    cut = services.tree.cut(owner(), conversation_id, message_id, expected=expected(), once=once)
    answer = {
        "success": True,
        "conversation_id": cut.conversation_id,
        "revision": cut.revision.number,
        "deleted": cut.deleted,
        "active_leaf_id": cut.active_leaf_id,
    }
    return tagged(json_response(answer), cut.revision)


@blueprint.get(f"{_ONE}/versions")
@blueprint.arguments(MessagesQuery, location="query")
@blueprint.response(200, MessagePage, headers=NEXT | ETAG)
@blueprint.alt_response(304, **NOT_MODIFIED)
@unless_known
def search_versions(query: dict[str, Any], conversation_id: str, message_id: str) -> Response:
    """A message and its siblings, oldest first: what else was said in its place"""
    window = Window(**query)
    page = services.tree.versions(owner(), conversation_id, message_id, window)
    return _paged(page, window, page.turns)


@blueprint.post(f"{_ONE}/regenerate")
@blueprint.rate("chat")
@blueprint.fails(409, 412, 502, 504)
@blueprint.arguments(RetryRequest, required=False)
@blueprint.arguments(ChatQuery, location="query")
@blueprint.response(200, ChatAnswer, headers=IDS)
@blueprint.alt_response(200, schema=TEXT, content_type="text/plain", example=TEXT_EXAMPLE)
@blueprint.alt_response(
    200, schema=ChatEvent, content_type="text/event-stream", example=EVENT_EXAMPLE
)
@keyed(blueprint)
def regenerate(
    body: dict[str, Any],
    query: dict[str, Any],
    conversation_id: str,
    message_id: str,
    once: Once | None,
) -> Response:
    """Another answer to the same question is written and shown; the others stay"""
    wishes = Wishes(**with_client_id(body, once))
    events = services.chat.answer_again(
        identity(), conversation_id, message_id, wishes, expected=expected()
    )
    return respond(events, wanted_wire(query.get("wire"), request.accept_mimetypes))


@blueprint.put("/active-leaf")
@blueprint.fails(409, 412)
@blueprint.arguments(ReadQuery, location="query")
@blueprint.arguments(ActiveLeaf)
@blueprint.response(200, ConversationWithMessages, headers=ETAG)
@keyed(blueprint)
def update_active_leaf(
    query: dict[str, Any], body: dict[str, Any], conversation_id: str, once: Once | None
) -> Response:
    """Choose the branch that is shown; it goes on to its newest message"""
    condition = expected(body.pop("revision", None))
    reading = services.tree.show(
        owner(), conversation_id, **body, **query, expected=condition, once=once
    )
    return written(reading)


def _answer(stored: Stored, *, status: int | None = None, **said: Any) -> Response:
    """What is stored, and the state of its conversation: 201 when it was not there before."""
    place = {"conversation_id": stored.conversation_id, "revision": stored.revision.number}
    status = status or (200 if stored.is_replay else 201)
    return tagged(json_response(place | said, status=status), stored.revision)


def _paged(page: TurnPage, window: Window, shown: Sequence[Any]) -> Response:
    """A page, and where the next one is: on the way that was asked for."""
    body: dict[str, Any] = {"messages": shown, "next_cursor": None}
    if not page.has_more:
        return tagged(json_response(body), page.revision)
    way, edge = ("after", -1) if window.after else ("before", 0)
    cursor = page.turns[edge].id
    link = page_link(**{way: cursor})
    return tagged(json_response(body | {"next_cursor": cursor}, headers=link), page.revision)
