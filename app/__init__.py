"""Parley: durable, private, fast conversation history for LLM chat applications.

    Parley(responder=answer).init_app(app, url_prefix="/api")    # blueprints in your app
    Parley(responder=answer).mount(app, "/api")                  # an application of its own
    app = create_app()                                           # Parley alone

`answer` is a function of a `Prompt` that yields text or events; see `responders.base`.
"""

from flask import Flask
from flask_migrate import Migrate

from .cli.cache import cache as cache_commands  # `app.cache` is a package
from .cli.conversations import conversations
from .cli.stats import stats
from .cli.tokens import tokens
from .cli.users import users
from .composition import migrations_folder
from .database import db
from .errors import ModelError
from .extension import Parley
from .logs import configure_logs
from .responders.base import (
    Contexts,
    Data,
    Event,
    Finish,
    Prompt,
    ReasoningDelta,
    Responder,
    Step,
    TextDelta,
    Titling,
    ToolCall,
    ToolResult,
    Usage,
)
from .responders.cached import cached
from .responders.tools import Findings, Tool, ToolError
from .settings import Settings

__all__ = [
    "Contexts",
    "Data",
    "Event",
    "Findings",
    "Finish",
    "ModelError",
    "Parley",
    "Prompt",
    "ReasoningDelta",
    "Responder",
    "Settings",
    "Step",
    "TextDelta",
    "Titling",
    "Tool",
    "ToolCall",
    "ToolError",
    "ToolResult",
    "Usage",
    "cached",
    "create_app",
]


def create_app(settings: Settings | None = None) -> Flask:
    """Parley as a complete application, by default with the environment's settings.

    Raises SettingsError that names every fault.
    """
    settings = settings or Settings.from_environ()
    configure_logs(settings)
    app = Parley(settings=settings).application()
    app.cli.add_command(cache_commands)
    app.cli.add_command(conversations)
    app.cli.add_command(stats)
    app.cli.add_command(tokens)
    app.cli.add_command(users)
    Migrate(app, db, directory=str(migrations_folder()))
    return app
