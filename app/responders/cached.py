"""Results of what responders look up, kept for a while: `@cached(ttl=300, tags=["handbook"])`."""

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any, Concatenate, ParamSpec, TypeVar

import orjson

from ..errors import SetupError
from .base import Prompt

P = ParamSpec("P")
R = TypeVar("R")

Tags = Sequence[str] | Callable[..., Iterable[str]]
_Function = Callable[Concatenate[Prompt, P], R]

LONGEST_TTL = 30 * 86_400
"""Seconds."""
MOST_TAGS = 16

# What JSON has no word for is refused, not turned into something else on the first hit.
_STRICT = (
    orjson.OPT_SORT_KEYS
    | orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
    | orjson.OPT_PASSTHROUGH_SUBCLASS
)


def cached(
    *, ttl: float, tags: Tags = (), shared: bool = False, version: int = 1
) -> Callable[[_Function[P, R]], _Function[P, R]]:
    """Keeps what a function of a Prompt and of JSON arguments returns, for `ttl` seconds.

        @cached(ttl=300, tags=["handbook"])
        def find_pages(prompt, words, limit=5): ...

    The first argument is the prompt, since it knows both whose the result is and in which Parley's
    Redis to look: the function may stand in a module, serve several Parleys, and be a Tool's `run`.
    With a prompt that was made by hand it simply runs.

    A result belongs to `prompt.user_email` in `prompt.dept`; `shared=True` shows it to everybody,
    so that it must not depend on who asks. Of the rest of the prompt nothing counts: pass what the
    function reads of it as an argument. Raise `version` when the function means something else.

    `tags`, or what a function of the same arguments says they are, name what the result was made
    of: `Parley.invalidate("handbook")`, or `prompt.results.invalidate`, forgets it for everybody.

    It returns what JSON makes of the result (a tuple comes back as a list), each time. TypeError:
    arguments or a result that JSON has no word for, or no prompt. None, what is empty and what is
    raised are not kept. Who misses at the same time as others may compute the same as they do.
    SetupError: a `ttl` that is none, or a function that its name does not tell from others: one
    that captures variables, or a lambda.
    """
    if not 0 < ttl <= LONGEST_TTL:
        raise SetupError(f"The ttl of a cached function must be up to {LONGEST_TTL} seconds.")

    def decorate(function: _Function[P, R]) -> _Function[P, R]:
        lookup = _Lookup(function, ttl=ttl, tags=tags, shared=shared, version=version)

        @functools.wraps(function)
        def call(prompt: Prompt, /, *args: P.args, **kwargs: P.kwargs) -> R:
            return lookup(prompt, *args, **kwargs)  # type: ignore[no-any-return]

        return call

    return decorate


class _Lookup:
    """A function that is cached, called."""

    def __init__(
        self, function: Callable[..., Any], *, ttl: float, tags: Tags, shared: bool, version: int
    ) -> None:
        self._function = function
        self._signature = inspect.signature(function)
        self._ttl, self._tags, self._shared = ttl, tags, shared
        self._name = f"{function.__module__}.{function.__qualname__}:{version}"
        if inspect.unwrap(function).__closure__ or "<lambda>" in self._name:
            raise SetupError(f"{self._name} captures variables or has no name: not to be cached.")

    def __call__(self, prompt: Prompt, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(prompt, Prompt):
            raise TypeError(f"The first argument of {self._name} must be a Prompt.")
        arguments = self._arguments(prompt, args, kwargs)
        results = prompt.results
        if results is None:
            return orjson.loads(self._result(prompt, args, kwargs))
        owner = None if self._shared else prompt.user_email
        name = f"{self._name}:{self._digest(prompt, arguments)}"
        found = results.find(name, owner, self._tags_of(prompt, args, kwargs))
        if found.value is not None:
            return found.value
        value = self._result(prompt, args, kwargs)
        result = orjson.loads(value)
        if found.marks is not None and not _is_nothing(result):
            results.keep(name, owner, value, marks=found.marks, ttl=self._ttl)
        return result

    def _arguments(
        self, prompt: Prompt, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> list[Any]:
        """The arguments but for the prompt, in the order of the signature, with its defaults."""
        bound = self._signature.bind(prompt, *args, **kwargs)
        bound.apply_defaults()
        return [[name, value] for name, value in bound.arguments.items()][1:]

    def _digest(self, prompt: Prompt, arguments: Sequence[Any]) -> str:
        whose = None if self._shared else [prompt.user_email, prompt.dept]
        return sha256(_json([whose, arguments])).hexdigest()

    def _tags_of(self, prompt: Prompt, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[str]:
        tags = self._tags(prompt, *args, **kwargs) if callable(self._tags) else self._tags
        named = sorted({tags} if isinstance(tags, str) else set(tags))
        if len(named) > MOST_TAGS:
            raise SetupError(f"{self._name} has more than {MOST_TAGS} tags.")
        return named

    def _result(self, prompt: Prompt, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bytes:
        return _json(self._function(prompt, *args, **kwargs))


def _json(value: Any) -> bytes:
    return orjson.dumps(value, option=_STRICT)


def _is_nothing(result: Any) -> bool:
    return result is None or (isinstance(result, str | list | dict) and not result)
