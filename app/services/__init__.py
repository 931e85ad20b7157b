"""The rules. Plain classes over repositories, cache and runs; no HTTP, no Flask."""

from dataclasses import dataclass

from .bulk import BulkService
from .chat import ChatService
from .compat import CompatService
from .conversations import ConversationService
from .health import HealthService
from .lists import ListService
from .search import SearchService
from .stats import StatsService
from .tokens import TokenService
from .trash import TrashService
from .tree import TreeService
from .users import UserService


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What views, middleware and commands call."""

    bulk: BulkService
    chat: ChatService
    compat: CompatService
    conversations: ConversationService
    health: HealthService
    lists: ListService
    search: SearchService
    stats: StatsService
    tokens: TokenService
    trash: TrashService
    tree: TreeService
    users: UserService
