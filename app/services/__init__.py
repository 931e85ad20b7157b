"""The rules. Plain classes over repositories, cache and runs; no HTTP, no Flask."""

from dataclasses import dataclass

from .chat import ChatService
from .conversations import ConversationService
from .health import HealthService
from .tokens import TokenService
from .users import UserService


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What views, middleware and commands call."""

    chat: ChatService
    conversations: ConversationService
    health: HealthService
    tokens: TokenService
    users: UserService
