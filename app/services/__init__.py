"""The rules. Plain classes over repositories, cache and runs; no HTTP, no Flask."""

from dataclasses import dataclass

from .activity import ActivityService
from .answers import AnswerService
from .bulk import BulkService
from .changes import ChangeService
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
from .ui import UiService
from .users import UserService


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What views, middleware and commands call."""

    activity: ActivityService
    answers: AnswerService
    bulk: BulkService
    changes: ChangeService
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
    ui: UiService
    users: UserService
