"""What a host or its environment names, as a responder: `recall`, `openai`, `module:callable`."""

import re
from importlib import import_module
from operator import attrgetter
from typing import Any, cast

from ..errors import SettingsError
from .base import Answer, FunctionResponder, Responder
from .openai import OpenAIResponder
from .recall import RecallResponder, Search

_REFERENCE = re.compile(r"(?P<module>\w+(\.\w+)*):(?P<attribute>\w+(\.\w+)*)")


def resolve(
    responder: Responder | Answer | str | None = None,
    *,
    search: Search,
    name: str = "recall",
    openai_base_url: str | None = None,
    openai_api_key: str | None = None,
    openai_model: str | None = None,
    model_timeout: float = 60.0,
) -> Responder:
    """The responder that was handed over, or else the one that `name` (RESPONDER) stands for.

    A class is instantiated without arguments; a function of a Prompt becomes a responder.
    `model_timeout` is in seconds. Raises SettingsError that says what is wrong.
    """
    wanted = name if responder is None else responder
    if not isinstance(wanted, str):
        return _adapted(wanted, "the given responder")
    if wanted == "recall":
        return RecallResponder(search)
    if wanted == "openai":
        return OpenAIResponder(
            openai_base_url or "", openai_api_key, openai_model or "", model_timeout
        )
    return _adapted(_loaded(wanted), wanted)


def _loaded(reference: str) -> object:
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        raise _fault(f"{reference!r} is not known: use recall, openai or module:callable.")
    module = _module(match["module"])
    try:
        return attrgetter(match["attribute"])(module)
    except AttributeError:
        raise _fault(f"module {match['module']} has no {match['attribute']}.") from None


def _module(name: str) -> object:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        is_itself = error.name is not None and f"{name}.".startswith(f"{error.name}.")
        missing = "was not found" if is_itself else f"needs {error.name}, which is not installed"
        raise _fault(f"module {name} {missing}.") from error


def _adapted(thing: object, label: str) -> Responder:
    made = _instance(thing, label) if isinstance(thing, type) else thing
    if callable(getattr(made, "stream", None)):
        return cast(Responder, made)
    if callable(made):
        return FunctionResponder(cast(Answer, made))
    raise _fault(f"{label} is neither a responder nor callable.")


def _instance(kind: type[Any], label: str) -> object:
    try:
        return kind()
    except TypeError as error:
        raise _fault(f"{label} can't be made without arguments: {error}.") from error


def _fault(detail: str) -> SettingsError:
    return SettingsError({"RESPONDER": [detail]})
