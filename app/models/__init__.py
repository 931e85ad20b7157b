"""The tables, a class per file: columns and constraints, no behaviour."""

from .conversation import Conversation
from .idempotency_key import IdempotencyKey
from .message import Message
from .query_log import QueryLog
from .run import Run, RunChunk
from .user import User

__all__ = [
    "Conversation",
    "IdempotencyKey",
    "Message",
    "QueryLog",
    "Run",
    "RunChunk",
    "User",
]
