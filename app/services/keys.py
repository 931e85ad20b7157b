"""The keys that an issuer signs with. A token only names one: by its exact `kid`, or by none."""

from collections.abc import Mapping
from typing import Any, Protocol

from ..auth_settings import SHARED_SECRET


class Keys(Protocol):
    """An issuer's keys, all of one family of algorithms."""

    def find(self, key_id: str, algorithm: str) -> Any | None:
        """The key of this name for this algorithm. `key_id` is '' where a token names none."""
        ...


class SharedSecrets:
    """HS256 secrets by key id; the one under '' serves tokens that name no key."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._secrets = secrets

    def find(self, key_id: str, algorithm: str) -> str | None:
        return self._secrets.get(key_id) if algorithm == SHARED_SECRET else None
