"""What a host or its environment names, as a responder.

`recall`, `openai`, `agent`, or `module:callable`.
"""

import re
from collections.abc import Iterable
from importlib import import_module
from operator import attrgetter
from typing import Any, cast

from ..errors import SettingsError
from ..settings import Settings
from .agent import AgentLimits, AgentResponder
from .base import Answer, FunctionResponder, Responder
from .chat_model import ChatModel
from .openai import OpenAIResponder
from .recall import RecallResponder, Search
from .tools import Tool, Toolbox

_REFERENCE = re.compile(r"(?P<module>\w+(\.\w+)*):(?P<attribute>\w+(\.\w+)*)")


class Registry:
    """Makes responders of what names them; those that ask the model share its connections."""

    def __init__(
        self,
        search: Search,
        *,
        tools: Iterable[Tool] = (),
        agent_limits: AgentLimits | None = None,
        openai_base_url: str | None = None,
        openai_api_key: str | None = None,
        openai_model: str | None = None,
        model_timeout: float = 60.0,
    ) -> None:
        """`model_timeout` is in seconds. SetupError: tools that can't be called."""
        self._search = search
        self._toolbox = Toolbox(tools)
        self._agent_limits = agent_limits or AgentLimits()
        self._has_model = bool(openai_base_url and openai_model)
        self._settings = (openai_base_url or "", openai_api_key, openai_model or "", model_timeout)
        self._model: ChatModel | None = None

    @classmethod
    def from_settings(
        cls, settings: Settings, search: Search, tools: Iterable[Tool] = ()
    ) -> "Registry":
        return cls(
            search,
            tools=tools,
            agent_limits=AgentLimits(
                max_steps=settings.agent_max_steps,
                timeout=settings.agent_timeout,
                max_tokens=settings.agent_max_tokens,
            ),
            openai_base_url=settings.openai_base_url,
            openai_api_key=settings.openai_api_key,
            openai_model=settings.openai_model,
            model_timeout=settings.model_timeout,
        )

    def resolve(self, wanted: Responder | Answer | str, *, setting: str = "RESPONDER") -> Responder:
        """The responder that was handed over, or that a name, the value of `setting`, stands for.

        A class is instantiated without arguments; a function of a Prompt becomes a responder.
        An agent without a model recalls. Raises SettingsError that says what is wrong.
        """
        if not isinstance(wanted, str):
            return _adapted(wanted, "the given responder", setting)
        if wanted == "recall" or (wanted == "agent" and not self._has_model):
            return RecallResponder(self._search)
        if wanted == "openai":
            return OpenAIResponder(self._shared_model())
        if wanted == "agent":
            return AgentResponder(self._shared_model(), self._toolbox, self._agent_limits)
        return _adapted(_loaded(wanted, setting), wanted, setting)

    def close(self) -> None:
        """Closes the model's connections; its responders can't be used any more."""
        if self._model:
            self._model.close()

    def _shared_model(self) -> ChatModel:
        self._model = self._model or ChatModel(*self._settings)
        return self._model


def _loaded(reference: str, setting: str) -> object:
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        known = "recall, openai, agent or module:callable"
        raise _fault(setting, f"{reference!r} is not known: use {known}.")
    module = _module(match["module"], setting)
    try:
        return attrgetter(match["attribute"])(module)
    except AttributeError:
        raise _fault(setting, f"module {match['module']} has no {match['attribute']}.") from None


def _module(name: str, setting: str) -> object:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        is_itself = error.name is not None and f"{name}.".startswith(f"{error.name}.")
        missing = "was not found" if is_itself else f"needs {error.name}, which is not installed"
        raise _fault(setting, f"module {name} {missing}.") from error


def _adapted(thing: object, label: str, setting: str) -> Responder:
    made = _instance(thing, label, setting) if isinstance(thing, type) else thing
    if callable(getattr(made, "stream", None)):
        return cast(Responder, made)
    if callable(made):
        return FunctionResponder(cast(Answer, made))
    raise _fault(setting, f"{label} is neither a responder nor callable.")


def _instance(kind: type[Any], label: str, setting: str) -> object:
    try:
        return kind()
    except TypeError as error:
        raise _fault(setting, f"{label} can't be made without arguments: {error}.") from error


def _fault(setting: str, detail: str) -> SettingsError:
    return SettingsError({setting: [detail]})
