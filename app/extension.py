"""Parley in a Flask application: the composition root. All wiring is here."""

from pathlib import Path
from typing import Any

from alembic.script import ScriptDirectory
from flask import Flask
from flask_smorest import Api
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from . import models
from .blueprints import chat, conversations, docs, fallback, health
from .cache.client import RedisClient
from .cache.messages import MessageCache
from .database import Database
from .errors import SettingsError, SetupError, UnavailableError
from .responders.base import Answer, Responder
from .responders.registry import resolve
from .services import Services
from .services.answers import AnswerService
from .services.chat import ChatLimits, ChatService
from .services.conversations import ConversationService
from .services.health import HealthService
from .services.history import HistoryService
from .services.messages import MessageService
from .services.runs import RunService
from .services.search import SearchService
from .services.tokens import TokenService
from .services.users import UserService
from .settings import Settings
from .streaming.runner import Runner

BLUEPRINTS = (conversations, chat, health, docs, fallback)
_CONFIG_PREFIX = "PARLEY"
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
        self.settings = settings or Settings.from_environ()
        self.database = Database.from_settings(self.settings)
        self.redis = RedisClient(self.settings.redis_url or _NO_REDIS)
        self.runner: Runner
        self.services = self._compose(responder)

    def init_app(self, app: Flask, url_prefix: str = "/parley") -> None:
        """Serves the API under `url_prefix` of `app`, whose own pages stay as they are."""
        if not url_prefix.startswith("/"):
            raise SetupError("url_prefix must begin with a slash: the root is the host's own.")
        self._serve(app, url_prefix.rstrip("/"))

    def mount(self, host: Flask, prefix: str) -> Flask:
        """Serves the API as an application of its own under `prefix`; nothing is shared."""
        inner = self.application()
        host.wsgi_app = DispatcherMiddleware(  # type: ignore[method-assign]
            host.wsgi_app, {prefix: inner.wsgi_app}
        )
        return inner

    def application(self) -> Flask:
        """A Flask application that is Parley alone."""
        app = Flask(__package__ or "parley", static_folder=None)
        self._serve(app, "")
        return app

    def start(self) -> None:
        """Starts the threads that keep this process's runs and end abandoned ones."""
        self.runner.start()

    def close(self) -> None:
        """Ends those threads and gives all connections back."""
        self.runner.close()
        self.database.close()
        self.redis.close()

    def openapi(self) -> dict[str, Any]:
        """The API's description (OpenAPI 3.1)."""
        description: dict[str, Any] = self._api.spec.to_dict()
        return description

    def owner_url(self) -> str:
        """Who migrates. Raises SettingsError when DATABASE_OWNER_URL is not set."""
        if self.settings.database_owner_url is None:
            raise SettingsError({"DATABASE_OWNER_URL": ["is missing: it names who migrates."]})
        return self.settings.database_owner_url

    def _serve(self, app: Flask, url_prefix: str) -> None:
        self._check_role()
        app.extensions["parley"] = self
        self._api = _Api(app, config_prefix=_CONFIG_PREFIX, spec_kwargs=_description(url_prefix))
        for module in BLUEPRINTS:
            own = module.blueprint.url_prefix or ""
            self._api.register_blueprint(module.blueprint, url_prefix=url_prefix + own or None)

    def _check_role(self) -> None:
        """A role that could walk around row-level security is refused; a store away is not."""
        try:
            self.database.check_role()
        except UnavailableError:
            return

    def _compose(self, responder: Responder | Answer | str | None) -> Services:
        settings, database = self.settings, self.database
        cache = MessageCache(
            self.redis,
            ttl=settings.redis_cache_ttl,
            limit=settings.redis_cache_limit,
            enabled=settings.uses_redis,
        )
        messages = MessageService(database, max_message_bytes=settings.max_message_bytes)
        history = HistoryService(database, cache)
        conversations = ConversationService(database, history=history, messages=messages)
        runs = RunService(database)
        self.runner = Runner(runs.reap)
        return Services(
            chat=ChatService(
                database,
                conversations=conversations,
                messages=messages,
                history=history,
                answers=AnswerService(database, self.runner),
                runs=runs,
                runner=self.runner,
                responder=_responder(responder, settings, SearchService(database)),
                limits=ChatLimits(
                    max_history=settings.max_history,
                    max_history_tokens=settings.max_history_tokens,
                    max_answer_bytes=settings.max_answer_bytes,
                    max_runs_per_user=settings.max_runs_per_user,
                ),
            ),
            conversations=conversations,
            health=HealthService(
                database,
                self.redis if settings.uses_redis else None,
                expected_migration=newest_migration(),
            ),
            tokens=TokenService(
                settings.service_auth_secrets,
                issuer=settings.service_auth_issuer,
                audience=settings.service_auth_audience,
            ),
            users=UserService(database),
        )


class _Api(Api):  # type: ignore[misc]
    """flask-smorest without its hold on the host's error pages."""

    DEFAULT_ERROR_RESPONSE_NAME = None

    def _register_error_handlers(self) -> None:
        """Our blueprints have handlers of their own."""


def migrations_folder() -> Path:
    """Where the migrations are: within the installed package, or beside it in a checkout."""
    within = Path(__file__).with_name("migrations")
    return within if within.is_dir() else Path(__file__).parent.with_name("migrations")


def newest_migration() -> str | None:
    """The number of the migration that this code was written for."""
    return ScriptDirectory(str(migrations_folder())).get_current_head()


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


def _description(url_prefix: str) -> dict[str, Any]:
    bearer = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    return {
        "title": "Parley",
        "version": health.running_version(),
        "openapi_version": "3.1.0",
        "servers": [{"url": url_prefix or "/"}],
        "components": {"securitySchemes": {"bearer": bearer}},
        "security": [{"bearer": []}],
    }
