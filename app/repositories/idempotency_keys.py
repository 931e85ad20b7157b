from collections.abc import Mapping
from typing import Any

from ..clock import now
from ..models import IdempotencyKey
from .base import Repository


class IdempotencyKeyRepository(Repository[IdempotencyKey]):
    """Keys of requests that take effect once. Nobody sees one that is not finished."""

    model = IdempotencyKey

    def start(self, key: str, request_sha256: bytes) -> bool:
        """Takes a key, unless it is taken. Waits for a request that has it and is not over."""
        data = {"key": key, "request_sha256": request_sha256, "status": "started"}
        return self.create_many(data=[data], skip_duplicates=True) == 1

    def finish(self, key: str, response: Mapping[str, Any]) -> None:
        """Keeps a reference to what the request came to."""
        data = {"status": "finished", "response": response, "finished_at": now()}
        self.update_many(where={"key": key}, data=data)
