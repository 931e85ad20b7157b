"""What a Parley is made of: all wiring is here."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from alembic.script import ScriptDirectory

from .cache.changes import ChangeHub
from .cache.client import RedisClient
from .cache.results import ResultCache
from .database import Database
from .logs import join_logs
from .middleware.limits import RateClass, RateLimits
from .operations import Operations
from .repositories.runs import Allowance
from .responders.base import Answer, Responder
from .responders.registry import Registry
from .responders.tools import Tool
from .services import Services
from .services.activity import ActivityService
from .services.answers import AnswerService
from .services.bulk import BulkService
from .services.changes import ChangeService
from .services.chat import ChatLimits, ChatService
from .services.compat import CompatService
from .services.conversations import ConversationService
from .services.copies import copies_of
from .services.health import HealthService
from .services.history import HistoryService
from .services.jwks import ProviderKeys
from .services.lists import ListService
from .services.messages import MessageService
from .services.once import OnceService
from .services.prompts import PromptService
from .services.runs import RunService
from .services.search import SearchService
from .services.stats import StatsService
from .services.tokens import TokenService
from .services.tools import history_tools
from .services.trash import TrashService
from .services.tree import TreeService
from .services.ui import UiService
from .services.users import UserService
from .services.warming import Warming
from .settings import Settings
from .streaming.mirrors import Mirrors
from .streaming.relay import Relay
from .streaming.runner import Runner

_NO_REDIS = "redis://127.0.0.1"  # never asked: the cache is off then


@dataclass(frozen=True, slots=True, kw_only=True)
class _Store:
    """The services that the others stand on: what is stored, and how it is found."""

    conversations: ConversationService
    history: HistoryService
    messages: MessageService
    once: OnceService
    search: SearchService
    tree: TreeService


@dataclass(frozen=True, slots=True, kw_only=True)
class _Streaming:
    """What answers are written and watched with."""

    mirrors: Mirrors
    runner: Runner
    runs: RunService


class Composition:
    """The services and what they stand on, as the settings want them."""

    def __init__(
        self,
        settings: Settings,
        responder: Responder | Answer | str | None = None,
        tools: Sequence[Tool] = (),
    ) -> None:
        join_logs()
        self.settings = settings
        self.database = Database.from_settings(settings)
        self.redis = RedisClient(settings.redis_url or _NO_REDIS)
        self._results = ResultCache(self.redis, enabled=settings.uses_redis)
        self.rate_limits = _rate_limits(settings)
        self._provider_keys = _provider_keys(settings)
        self.changes = self._hub()
        self.copies = copies_of(settings, self.redis, self.database)
        self.database.guard_with(self.copies)
        store, streaming = self._store(), self._streaming()
        self._warming = self._warmed(store.history)
        self.runner = streaming.runner
        self.operations = Operations(
            settings, store.history, copies=self.copies, changes=self.changes
        )
        every_tool = [*history_tools(store.search, store.tree), *tools]
        self._registry = Registry.from_settings(settings, store.search.passages, every_tool)
        answers = self._answers(store, streaming)
        chat = self._chat(store, streaming, answers, responder)
        self.services = self._services(store, answers, chat)

    def start(self) -> None:
        """Fetches the provider's keys, and starts the threads that keep and end runs."""
        self.runner.start()
        self.wake()
        if self._provider_keys:
            self._provider_keys.refresh()

    def invalidate(self, *tags: str) -> bool:
        """Forgets what responders cached under any of these tags (see `cached`).

        False: Redis did not confirm it. Then what stood there may be used until its time is over.
        """
        return self._results.invalidate(*tags)

    def wake(self) -> None:
        """Starts the upkeep of copies, once, where nobody has called `start`."""
        self.copies.start()

    def end_soon(self) -> None:
        """Lets answers come to their end because the process was asked to end; see `drain`.

        Safe in a signal handler.
        """
        self.runner.end_soon()

    def drain(self) -> None:
        """Waits for answers that are being written; those not over in time end `interrupted`."""
        self.changes.close()
        self.runner.drain()
        self.changes.flush()

    def close(self) -> None:
        """Ends those threads and gives all connections back."""
        self.changes.close()
        self.runner.close()
        if self._warming:
            self._warming.close()
        self.copies.close()
        self.services.activity.close()
        self.database.close()
        self.redis.close()
        self.rate_limits.close()
        self._registry.close()

    def _store(self) -> _Store:
        database, once = self.database, OnceService(self.database)
        messages = MessageService(database, max_message_bytes=self.settings.max_message_bytes)
        history = HistoryService(database, self.copies)
        conversations = ConversationService(database, history=history, messages=messages, once=once)
        tree = TreeService(
            database, conversations=conversations, messages=messages, history=history, once=once
        )
        return _Store(
            conversations=conversations,
            history=history,
            messages=messages,
            once=once,
            search=SearchService(database, conversations),
            tree=tree,
        )

    def _streaming(self) -> _Streaming:
        wires = self.redis if self.settings.redis_url else None
        mirrors = Mirrors(wires)
        runs = RunService(self.database, mirrors, max_answer_bytes=self.settings.max_answer_bytes)
        runner = Runner(
            runs.reap,
            journal=runs,
            relay=Relay(wires),
            mirrors=mirrors,
            grace_seconds=self.settings.grace_seconds,
            when_ending=self.changes.close,
        )
        return _Streaming(mirrors=mirrors, runner=runner, runs=runs)

    def _answers(self, store: _Store, streaming: _Streaming) -> AnswerService:
        return AnswerService(
            self.database,
            conversations=store.conversations,
            tree=store.tree,
            runner=streaming.runner,
            mirrors=streaming.mirrors,
        )

    def _chat(
        self,
        store: _Store,
        streaming: _Streaming,
        answers: AnswerService,
        responder: Responder | Answer | str | None,
    ) -> ChatService:
        settings, resolve = self.settings, self._registry.resolve
        return ChatService(
            self.database,
            conversations=store.conversations,
            messages=store.messages,
            tree=store.tree,
            prompts=PromptService(
                store.history,
                max_history=settings.max_history,
                max_history_tokens=settings.max_history_tokens,
                results=self._results,
            ),
            answers=answers,
            runs=streaming.runs,
            runner=streaming.runner,
            responder=resolve(settings.responder if responder is None else responder),
            agent=resolve(settings.agent_responder, setting="AGENT_RESPONDER"),
            limits=_chat_limits(settings),
        )

    def _services(self, store: _Store, answers: AnswerService, chat: ChatService) -> Services:
        database, conversations, tree = self.database, store.conversations, store.tree
        return Services(
            activity=ActivityService(database),
            answers=answers,
            bulk=BulkService(store.once),
            changes=ChangeService(database, conversations=conversations, hub=self.changes),
            chat=chat,
            compat=CompatService(database, chat=chat, conversations=conversations),
            conversations=conversations,
            health=self._health(),
            lists=ListService(database, self._warming),
            search=store.search,
            stats=StatsService(database),
            tokens=TokenService(self.settings.auth, self._provider_keys),
            trash=TrashService(conversations),
            tree=tree,
            ui=UiService(chat=chat, conversations=conversations, tree=tree),
            users=UserService(database),
        )

    def _health(self) -> HealthService:
        redis = self.redis if self.settings.uses_redis else None
        return HealthService(self.database, redis, expected_migration=newest_migration())

    def _hub(self) -> ChangeHub:
        """Who watches conversations here; what is changed here is announced to them and others."""
        redis_url = self.settings.redis_url
        hub = ChangeHub(self.redis, redis_url) if redis_url else ChangeHub()
        self.database.when_changed(hub.announce)
        return hub

    def _warmed(self, history: HistoryService) -> Warming | None:
        count = self.settings.cache_warm_listed
        return Warming(history, count) if count and self.settings.uses_redis else None


def migrations_folder() -> Path:
    """Where the migrations are: within the installed package, or beside it in a checkout."""
    within = Path(__file__).with_name("migrations")
    return within if within.is_dir() else Path(__file__).parent.with_name("migrations")


def newest_migration() -> str | None:
    """The number of the migration that this code was written for."""
    return ScriptDirectory(str(migrations_folder())).get_current_head()


def _rate_limits(settings: Settings) -> RateLimits:
    rates: dict[RateClass, str | None] = {
        "default": settings.rate_limit_default,
        "chat": settings.rate_limit_chat,
        "create": settings.rate_limit_create,
    }
    return RateLimits(rates, settings.redis_url)


def _chat_limits(settings: Settings) -> ChatLimits:
    return ChatLimits(
        max_answer_bytes=settings.max_answer_bytes,
        allowance=Allowance(
            runs_at_once=settings.max_runs_per_user,
            daily_messages=settings.daily_message_quota,
            daily_tokens=settings.daily_token_quota,
        ),
    )


def _provider_keys(settings: Settings) -> ProviderKeys | None:
    provider = settings.auth.provider
    return ProviderKeys(provider.jwks_url, provider.algorithms) if provider else None
