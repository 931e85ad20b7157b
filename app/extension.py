"""Parley in a Flask application."""

from collections.abc import Callable, Sequence
from inspect import CO_COROUTINE
from typing import Any

from flask import Flask
from werkzeug.exceptions import MethodNotAllowed
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix

from . import models
from .blueprints import (
    changes,
    chat,
    compat_chatbot,
    compat_rag,
    conversations,
    docs,
    fallback,
    health,
    messages,
    metrics,
    search,
    stats,
)
from .blueprints.api import Api
from .blueprints.errors import handle_errors
from .composition import Composition
from .errors import SettingsError, SetupError, UnavailableError
from .middleware.requests import insist_on_tls, protect
from .responders.base import Answer, Responder
from .responders.tools import Tool
from .settings import PREFIX, Settings

BLUEPRINTS = (conversations, messages, changes, chat, search, stats, health, docs)
COMPAT = {"COMPAT_RAG_PREFIX": compat_rag, "COMPAT_CHATBOT_PREFIX": compat_chatbot}


class Parley(Composition):
    """Conversation history for a Flask application.

    `responder`: a Responder, a function of a Prompt that yields text and events, or a name
    (`recall`, `openai`, `agent`, `module:callable`); by default what RESPONDER names. `tools`:
    what an agent may call beside those over the user's own history. `settings`: by default those
    of the environment.
    """

    metadata = models.User.metadata

    def __init__(
        self,
        responder: Responder | Answer | str | None = None,
        *,
        tools: Sequence[Tool] = (),
        settings: Settings | None = None,
    ) -> None:
        super().__init__(settings or Settings.from_environ(), responder, tools)

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

    def openapi(self, server: str = "/") -> dict[str, Any]:
        """The API's description (OpenAPI 3.1), for clients that reach it at `server`."""
        return self._api.description(server)

    def _application(self) -> Flask:
        app = _Application(__package__ or "parley", static_folder=None)
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
        if self.settings.enable_metrics:
            self._api.register_blueprint(metrics.blueprint)
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


class _Application(Flask):
    """Parley alone, or what of it is mounted."""

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """As Flask's, which looks longer at a function than the seven of each request run."""
        code = getattr(func, "__code__", None)
        if code is None or code.co_flags & CO_COROUTINE:
            return super().ensure_sync(func)
        return func


def _checked(prefix: str) -> str:
    """A prefix without a slash at its end."""
    plain = prefix.removesuffix("/")
    if not PREFIX.fullmatch(plain):
        raise SetupError(f"{prefix!r} is no prefix like /api: the root is the host's own.")
    return plain
