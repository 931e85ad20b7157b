"""Environment variables read one after the other, as typed values; every fault is collected."""

import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from .errors import SettingsError

N = TypeVar("N", int, float)

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})
_NONE = "none"
_RATE = re.compile(r"([1-9][0-9]{0,8})\s*/\s*(s|sec|second|min|minute|h|hour|d|day)")
_UNITS = {"s": "second", "m": "minute", "h": "hour", "d": "day"}


class Environ:
    """What a method can't read it notes under the variable's name, and goes on with a default."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._faults: dict[str, list[str]] = defaultdict(list)

    def fault(self, name: str, reason: str) -> None:
        """Notes what is wrong with a variable: a sentence without its subject."""
        self._faults[name].append(reason)

    def check(self) -> None:
        """Raises SettingsError that names every fault noted so far."""
        if self._faults:
            raise SettingsError(self._faults)

    def text(self, name: str) -> str | None:
        """The variable's value, or what stands in the file that NAME_FILE names; '' is unset."""
        if path := self._environ.get(f"{name}_FILE"):
            try:
                return Path(path).read_text(encoding="utf-8").strip() or None
            except (OSError, UnicodeDecodeError) as error:
                self.fault(f"{name}_FILE", f"can't be read ({type(error).__name__}).")
        return self._environ.get(name) or None

    def required(self, name: str) -> str:
        value = self.text(name)
        if value is None:
            self.fault(name, "is missing.")
        return value or ""

    def words(self, name: str) -> tuple[str, ...]:
        """The parts between commas, without the space around them."""
        parts = (part.strip() for part in (self.text(name) or "").split(","))
        return tuple(part for part in parts if part)

    def count(self, name: str, default: int, *, least: int = 1, most: int = 2**31) -> int:
        return self._number(name, default, least=least, most=most, kind=int)

    def quota(self, name: str) -> int | None:
        """A whole number, or None where nothing, or `none`, is set."""
        return None if self._is_none(name) else self.count(name, 0, least=0)

    def seconds(self, name: str, default: float) -> float:
        return self._number(name, default, least=0.05, most=3600, kind=float)

    def flag(self, name: str, *, default: bool) -> bool:
        value = (self.text(name) or str(default)).lower()
        if value not in _TRUE | _FALSE:
            self.fault(name, "must be true or false.")
        return value in _TRUE

    def choice(self, name: str, default: str, *others: str) -> str:
        value = self.text(name) or default
        if value not in (default, *others):
            self.fault(name, f"must be one of {', '.join((default, *others))}.")
        return value

    def rate(self, name: str, default: str) -> str | None:
        """How often, as `600/minute`; None where `none` is set: as often as anybody likes."""
        value = (self.text(name) or default).lower()
        if value == _NONE:
            return None
        match = _RATE.fullmatch(value)
        if match is None:
            self.fault(name, "must read like 600/minute (second, minute, hour, day), or none.")
            return None
        return f"{match[1]}/{_UNITS[match[2][0]]}"

    def _is_none(self, name: str) -> bool:
        return (self.text(name) or _NONE).lower() == _NONE

    def _number(
        self, name: str, default: N, *, least: float, most: float, kind: Callable[[str], N]
    ) -> N:
        value = self.text(name)
        try:
            number = default if value is None else kind(value)
        except ValueError:
            self.fault(name, "must be a number.")
            return default
        if not least <= number <= most:
            self.fault(name, f"must be between {least} and {most}.")
        return number
