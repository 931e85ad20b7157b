"""Parley in a Flask application: the composition root. All wiring is here."""

from pathlib import Path
from typing import Any

from alembic.script import ScriptDirectory
from flask import Flask
from werkzeug.exceptions import MethodNotAllowed
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix

from . import models
from .blueprints import (
    chat,
    compat_chatbot,
    compat_rag,
    conversations,
    docs,
    fallback,
    health,
    messages,
    search,
    stats,
)
from .blueprints.api import Api
from .blueprints.errors import handle_errors
from .cache.client import RedisClient
from .cache.messages import MessageCache
from .database import Database
from .errors import SettingsError, SetupError, UnavailableError
from .logs import join_logs
from .middleware.limits import RateClass, RateLimits
from .middleware.requests import insist_on_tls, protect
from .operations import Operations
from .repositories.runs import Allowance
from .responders.base import Answer, Responder
from .responders.openai import OpenAIResponder
from .responders.registry import resolve
from .services import Services
from .services.answers import AnswerService
from .services.bulk import BulkService
from .services.chat import ChatLimits, ChatService
from .services.compat import CompatService
from .services.conversations import ConversationService
from .services.health import HealthService
from .services.history import HistoryService
from .services.jwks import ProviderKeys
from .services.lists import ListService
from .services.messages import MessageService
from .services.once import OnceService
from .services.runs import RunService
from .services.search import SearchService
from .services.stats import StatsService
from .services.tokens import TokenService
from .services.trash import TrashService
from .services.tree import TreeService
from .services.users import UserService
from .settings import PREFIX, Settings
from .streaming.runner import Runner

BLUEPRINTS = (conversations, messages, chat, search, stats, health, docs)
COMPAT = {"COMPAT_RAG_PREFIX": compat_rag, "COMPAT_CHATBOT_PREFIX": compat_chatbot}
_NO_REDIS = "redis://127.0.0.1"  # never asked: the cache is off then


class Parley:
    """Conversation history for a Flask application.

    `responder`: a Responder, a function of a Prompt that yields text and events, or a name
    (`recall`, `openai`, `module:callable`); by default what RESPONDER names. `settings`: by
    default those of the environment.
    """

    metadata = models.User.metadata

    def __init__(
        self,
        responder: Responder | Answer | str | None = None,
        *,
        settings: Settings | None = None,
    ) -> None:
        join_logs()
        self.settings = settings or Settings.from_environ()
        self.database = Database.from_settings(self.settings)
        self.redis = RedisClient(self.settings.redis_url or _NO_REDIS)
        self.rate_limits = _rate_limits(self.settings)
        self._provider_keys = _provider_keys(self.settings)
        self.runner: Runner
        self.operations: Operations
        self.services = self._compose(responder)

    def init_app(self, app: Flask, url_prefix: str = "/parley") -> None:
        """Serves the API under `url_prefix` of `app`, whose own pages stay as they are.

        Which proxies to trust, and whether browsers must use TLS, is for the host to say.
        Raises SetupError: no prefix of its own, or a Parley is there already.
        """
        prefix = _checked(url_prefix)
        if "parley" in app.extensions:
            raise SetupError("This application has a Parley already.")
        self._serve(app, prefix)

    def mount(self, host: Flask, prefix: str) -> Flask:
        """Serves the API as an application of its own under `prefix`; nothing is shared.

        Proxies and TLS are the host's, as with `init_app`. Raises SetupError: no prefix of its own.
        """
        prefix, inner = _checked(prefix), self._application()
        host.wsgi_app = DispatcherMiddleware(  # type: ignore[method-assign]
            host.wsgi_app, {prefix: inner.wsgi_app}
        )
        return inner

    def application(self) -> Flask:
        """A Flask application that is Parley alone, behind as many proxies as are trusted.

        Of `X-Forwarded-For` and `-Proto` the n-th value from the right counts: the one that the
        outermost trusted proxy wrote. No answer depends on a host's name.
        """
        app, proxies = self._application(), self.settings.trusted_proxies
        app.after_request(insist_on_tls)
        if proxies:
            app.wsgi_app = ProxyFix(  # type: ignore[method-assign]
                app.wsgi_app, x_for=proxies, x_proto=proxies
            )
        return app

    def start(self) -> None:
        """Fetches the provider's keys, and starts the threads that keep and end runs."""
        self.runner.start()
        if self._provider_keys:
            self._provider_keys.refresh()

    def close(self) -> None:
        """Ends those threads and gives all connections back."""
        self.runner.close()
        self.database.close()
        self.redis.close()
        self.rate_limits.close()
        if self._own_model:
            self._own_model.close()

    def openapi(self, server: str = "/") -> dict[str, Any]:
        """The API's description (OpenAPI 3.1), for clients that reach it at `server`."""
        return self._api.description(server)

    def _application(self) -> Flask:
        app = Flask(__package__ or "parley", static_folder=None)
        self._serve(app, "")
        handle_errors(app)
        app.register_error_handler(MethodNotAllowed, fallback.refuse)
        app.after_request(protect)
        return app

    def _serve(self, app: Flask, url_prefix: str) -> None:
        self._check_role()
        app.extensions["parley"] = self
        self._api = Api(app, url_prefix, version=health.running_version())
        for module in BLUEPRINTS:
            self._api.register_blueprint(module.blueprint)
        self._serve_compat()
        app.register_blueprint(fallback.blueprint, url_prefix=url_prefix or None)

    def _serve_compat(self) -> None:
        """Existing clients' routes, where the settings want them. SettingsError: among ours."""
        paths = [module.blueprint.url_prefix for module in BLUEPRINTS]
        own = {path.split("/")[1] for path in paths if path}
        for name, module in COMPAT.items():
            prefix: str | None = getattr(self.settings, name.lower())
            if prefix is None:
                continue
            if prefix.split("/")[1] in own:
                raise SettingsError({name: ["begins like a route of Parley's own."]})
            self._api.register_blueprint(module.blueprint, prefix)

    def _check_role(self) -> None:
        """A role that could walk around row-level security is refused; a store away is not."""
        try:
            self.database.check_role()
        except UnavailableError:
            return

    def _compose(self, responder: Responder | Answer | str | None) -> Services:
        settings, database = self.settings, self.database
        messages = MessageService(database, max_message_bytes=settings.max_message_bytes)
        history = HistoryService(database, self._cache())
        self.operations = Operations(settings, history)
        once = OnceService(database)
        conversations = ConversationService(database, history=history, messages=messages, once=once)
        tree = TreeService(
            database, conversations=conversations, messages=messages, history=history, once=once
        )
        runs = RunService(database)
        self.runner = Runner(runs.reap)
        search = SearchService(database, conversations)
        chosen = _responder(responder, settings, search)
        self._own_model: OpenAIResponder | None = None
        if isinstance(chosen, OpenAIResponder) and chosen is not responder:
            self._own_model = chosen
        chat = ChatService(
            database,
            conversations=conversations,
            messages=messages,
            tree=tree,
            history=history,
            answers=AnswerService(database, self.runner),
            runs=runs,
            runner=self.runner,
            responder=chosen,
            limits=_chat_limits(settings),
        )
        return Services(
            bulk=BulkService(once, history),
            chat=chat,
            compat=CompatService(database, chat=chat, conversations=conversations),
            conversations=conversations,
            health=HealthService(
                database,
                self.redis if settings.uses_redis else None,
                expected_migration=newest_migration(),
            ),
            lists=ListService(database),
            search=search,
            stats=StatsService(database),
            tokens=TokenService(settings.auth, self._provider_keys),
            trash=TrashService(conversations),
            tree=tree,
            users=UserService(database),
        )

    def _cache(self) -> MessageCache:
        return MessageCache(
            self.redis,
            ttl=self.settings.redis_cache_ttl,
            limit=self.settings.redis_cache_limit,
            enabled=self.settings.uses_redis,
        )


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
        max_history=settings.max_history,
        max_history_tokens=settings.max_history_tokens,
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


def _responder(
    given: Responder | Answer | str | None, settings: Settings, search: SearchService
) -> Responder:
    return resolve(
        given,
        name=settings.responder,
        search=search.passages,
        openai_base_url=settings.openai_base_url,
        openai_api_key=settings.openai_api_key,
        openai_model=settings.openai_model,
        model_timeout=settings.model_timeout,
    )


def _checked(prefix: str) -> str:
    """A prefix without a slash at its end."""
    plain = prefix.removesuffix("/")
    if not PREFIX.fullmatch(plain):
        raise SetupError(f"{prefix!r} is no prefix like /api: the root is the host's own.")
    return plain
