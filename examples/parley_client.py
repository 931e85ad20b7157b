"""The HTTP API as one user calls it, such that nothing is lost and nothing is doubled.

Whoever sends a request can't know whether it took effect when its answer gets lost: the worker may
have died before it stored the message, or just after. So each request carries an id of the
client's own (`client_id` of a conversation, `client_message_id` of a message) and is simply sent
again, unchanged: what was stored before is not stored again.
"""

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any

import httpx2
import jwt
import tenacity

PATIENCE = 90  # seconds in which one request is tried again
PASSING = {429, 502, 503, 504}  # statuses that say: not now
LIFETIME = timedelta(minutes=15)  # of a token; a new one is signed well before


class CallError(Exception):
    """The call can't succeed; the message says why."""


class PassingError(Exception):
    """An answer that is worth asking for again, but not before `retry_after` seconds."""

    def __init__(self, message: str, *, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


@dataclass(frozen=True)
class Signer:
    """Signs users' tokens as a proxy in front of the API does, with the secret that both know.

    It is SERVICE_AUTH_SECRET or, when that is not set, the one that `make run` keeps in `data`.
    """

    data: Path

    def token(self, email: str) -> str:
        now = datetime.now(UTC)
        claims = {
            "email": email,
            "iss": os.environ.get("SERVICE_AUTH_ISSUER") or "parley-development",
            "aud": os.environ.get("SERVICE_AUTH_AUDIENCE") or "parley",
            "iat": now,
            "exp": now + LIFETIME,
        }
        return jwt.encode(claims, self.secret(), "HS256")

    def secret(self) -> str:
        if secret := os.environ.get("SERVICE_AUTH_SECRET"):
            return secret
        path = self.data / "development-secret.json"
        if not path.exists():
            raise CallError(f"SERVICE_AUTH_SECRET is not set, and there is no {path} (see --data).")
        by_day: dict[str, str] = json.loads(path.read_text())
        return by_day[max(by_day)]


class Api:
    """Calls as `email`, from one thread. `stop` ends the waiting for a server that is away."""

    def __init__(self, url: str, email: str, signer: Signer, stop: Event) -> None:
        self.email, self.retries = email, 0
        self._signer, self._stop = signer, stop
        self._token, self._renew_at = "", 0.0
        self._http = httpx2.Client(base_url=url, timeout=15, trust_env=False)
        self._patiently = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type((httpx2.RequestError, PassingError)),
            stop=tenacity.stop_before_delay(PATIENCE) | tenacity.stop_when_event_set(stop),
            wait=_pause,
            sleep=tenacity.sleep_using_event(stop),
            before_sleep=self._count,
            reraise=True,
        )

    def call(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        """The answer's JSON. The very same request is sent until there is one. CallError."""
        if self._stop.is_set():
            raise CallError("stopped")
        try:
            return self._patiently(self._once, method, path, **options)
        except (httpx2.RequestError, PassingError) as error:
            reason = str(error) or type(error).__name__
            raise CallError(f"{method} {path}: gave up after {PATIENCE} s: {reason}") from error

    def pages(self, path: str, *, key: str, cursor: str, size: int) -> Iterator[list[Any]]:
        """All pages of a list: the `next_cursor` of each answer asks for the next page."""
        query: dict[str, Any] | None = {"limit": size}
        while query:
            answer = self.call("GET", path, params=query)
            yield answer[key]
            mark = answer["next_cursor"]
            query = {"limit": size, cursor: mark} if mark else None

    def _once(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        signed = {"Authorization": f"Bearer {self._bearer()}"}
        answer = self._http.request(method, path, headers=signed, **options)
        if answer.status_code in PASSING:
            told = answer.headers.get("Retry-After", "")  # a proxy's may be a date
            pause = float(told) if told.isdecimal() else 0.0
            raise PassingError(f"{answer.status_code} {answer.text[:200]}", retry_after=pause)
        if not answer.is_success:
            raise CallError(f"{method} {path}: {answer.status_code} {answer.text[:500]}")
        try:
            body: dict[str, Any] = answer.json()
        except ValueError as error:
            raise PassingError(f"not JSON: {error}") from error
        return body

    def _bearer(self) -> str:
        if time.monotonic() >= self._renew_at:
            self._token = self._signer.token(self.email)
            self._renew_at = time.monotonic() + LIFETIME.total_seconds() / 2
        return self._token

    def _count(self, _: tenacity.RetryCallState) -> None:
        self.retries += 1


_longer_each_time = tenacity.wait_random_exponential(multiplier=0.1, max=2)


def _pause(state: tenacity.RetryCallState) -> float:
    """Seconds until the next try: at least as many as the server asked for."""
    error = state.outcome and state.outcome.exception()
    return max(getattr(error, "retry_after", 0.0), _longer_each_time(state))
