"""A model behind any Chat Completions endpoint: OpenAI, Ollama, vLLM, LiteLLM and their like."""

import logging
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from email.utils import parsedate_to_datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, TypeAlias

import httpx2
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_after_attempt,
    stop_before_delay,
    wait_exponential,
    wait_random,
)

from ..errors import ModelError, ModelTimeoutError, SettingsError
from .base import Event
from .chat_completions import Message, events
from .sse import payloads
from .tool_calls import CallPiece

_Events: TypeAlias = Generator[Event | CallPiece, None, None]
_Begun: TypeAlias = tuple[Event | CallPiece, _Events]

_TRIES = 3
_CONNECT_SECONDS = 10.0
_MOST_RETRY_AFTER_SECONDS = 5.0
_FINAL = frozenset({"unauthorized", "bad_request"})
_backoff = wait_exponential(multiplier=0.2, max=2.0) + wait_random(0, 0.2)


class ChatModel:
    """A model that is asked over HTTP. One connection pool serves all threads.

    `timeout`, in seconds, bounds the time to the first token over all tries, and from then on the
    silence between two; a provider that sends comments and then nothing is given up within twice
    that. Tries are repeated before the first token only. Faults are ModelError with
    the error_class refused, rate_limited, unauthorized, bad_request, upstream or broken_off, and
    ModelTimeoutError; what the provider said never shows in them.
    """

    def __init__(
        self, base_url: str, api_key: str | None, model: str, timeout: float = 60.0
    ) -> None:
        """Raises SettingsError that names what is missing or can't be used."""
        _check_settings(base_url, api_key, model)
        self._url = _endpoint(base_url)
        self._model = model
        self._timeout = timeout
        self._client = httpx2.Client(
            headers=_headers(api_key),
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=20),
            follow_redirects=False,
            # No cookie may tie the requests of different users together.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        )
        _keep_provider_out_of_logs()

    def answer(
        self,
        messages: Sequence[Message],
        *,
        model: str | None = None,
        tools: Sequence[Mapping[str, Any]] = (),
    ) -> _Events:
        """The answer's events, and the pieces of the calls of `tools` that it asks for.

        `model` goes before the one of the settings. Closing the generator closes the connection
        at once.
        """
        first, rest = self._begin(self._body(messages, model, tools))
        with closing(rest):
            yield first
            yield from rest

    def close(self) -> None:
        """Closes the connection pool; the model can't be asked any more."""
        self._client.close()

    def _begin(self, body: dict[str, Any]) -> _Begun:
        """The first event and the rest, after as many tries as that takes."""
        patience = _Patience(self._timeout)
        retrying = Retrying(
            retry=retry_if_exception(_is_passing),
            wait=patience.pause,
            stop=stop_after_attempt(_TRIES) | stop_before_delay(self._timeout),
            reraise=True,
        )
        return retrying(self._try, body, patience)

    def _body(
        self,
        messages: Sequence[Message],
        model: str | None,
        tools: Sequence[Mapping[str, Any]],
    ) -> dict[str, Any]:
        body = {
            "model": model or self._model,
            "messages": messages,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        return body | {"tools": tools} if tools else body

    def _try(self, body: dict[str, Any], patience: "_Patience") -> _Begun:
        answer = self._answer(body, patience)
        return next(answer), answer

    def _answer(self, body: dict[str, Any], patience: "_Patience") -> _Events:
        with closing(self._open(body, patience)) as response:
            pieces = _pieces(response, patience)
            for event in events(payloads(pieces), model=body["model"]):
                yield event
                patience.renew()
            # A connection goes back to the pool only when its response was read to the end.
            with suppress(ModelError):
                next(pieces, None)

    def _open(self, body: dict[str, Any], patience: "_Patience") -> httpx2.Response:
        """A successful response with its body unread. `stream_options` is dropped when refused."""
        patience.retry_after = None
        response = self._send(body, patience)
        if response.status_code in (400, 422) and body.pop("stream_options", None):
            response.close()
            response = self._send(body, patience)
        patience.retry_after = _retry_after(response)
        if not response.is_success:
            response.close()
            raise ModelError(error_class=_error_class(response.status_code))
        return response

    def _send(self, body: dict[str, Any], patience: "_Patience") -> httpx2.Response:
        request = self._client.build_request(
            "POST", self._url, json=body, timeout=patience.limits()
        )
        try:
            return self._client.send(request, stream=True)
        except httpx2.TimeoutException:
            raise ModelTimeoutError from None
        except httpx2.HTTPError:
            raise ModelError(error_class="refused") from None


class _Patience:
    """How long one answer is still waited for."""

    def __init__(self, seconds: float) -> None:
        self.retry_after: float | None = None
        self._seconds = seconds
        self.renew()

    def renew(self) -> None:
        self._end = time.monotonic() + self._seconds

    def check(self) -> None:
        """For providers that keep a connection alive with comments and never answer."""
        if time.monotonic() > self._end:
            raise ModelTimeoutError

    def limits(self) -> httpx2.Timeout:
        left = max(self._end - time.monotonic(), 0.001)
        return httpx2.Timeout(left, connect=min(left, _CONNECT_SECONDS))

    def pause(self, tried: RetryCallState) -> float:
        """Seconds until the next try: what the provider asked for, within limits, or a few."""
        return _backoff(tried) if self.retry_after is None else self.retry_after


def _pieces(response: httpx2.Response, patience: _Patience) -> Iterator[bytes]:
    try:
        for piece in response.iter_bytes():
            patience.check()
            yield piece
    except httpx2.TimeoutException:
        raise ModelTimeoutError from None
    except httpx2.HTTPError:
        raise ModelError(error_class="broken_off") from None


def _is_passing(error: BaseException) -> bool:
    return isinstance(error, ModelError) and error.error_class not in _FINAL


def _error_class(status: int) -> str:
    if status in (401, 403):
        return "unauthorized"
    if status == 429:
        return "rate_limited"
    return "upstream" if status >= 500 else "bad_request"


def _retry_after(response: httpx2.Response) -> float | None:
    """Retry-After (RFC 9110, 10.2.3) in seconds, at most five; None when there is none."""
    value = response.headers.get("retry-after", "")
    if value.isdecimal():
        return min(float(value), _MOST_RETRY_AFTER_SECONDS)
    try:
        seconds = parsedate_to_datetime(value).timestamp() - time.time()
    except (ValueError, OverflowError):
        return None
    return min(max(seconds, 0.0), _MOST_RETRY_AFTER_SECONDS)


def _check_settings(base_url: str, api_key: str | None, model: str) -> None:
    faults = {}
    if not base_url:
        faults["OPENAI_BASE_URL"] = ["is missing (for example http://localhost:11434/v1)."]
    elif not _is_usable(base_url):
        faults["OPENAI_BASE_URL"] = ["must be an http:// or https:// URL without user or password."]
    if api_key and not (api_key.isascii() and api_key.isprintable() and " " not in api_key):
        faults["OPENAI_API_KEY"] = ["must be printable ASCII without spaces."]
    if not model:
        faults["OPENAI_MODEL"] = ["is missing."]
    if faults:
        raise SettingsError(faults)


def _is_usable(base_url: str) -> bool:
    try:
        url = httpx2.URL(base_url)
        url.raw_host.decode("ascii").encode("idna")  # as the resolver will do
    except (httpx2.InvalidURL, UnicodeError):
        return False
    has_place = bool(url.host) and (url.port or 80) < 2**16
    return url.scheme in ("http", "https") and has_place and not url.userinfo


def _endpoint(base_url: str) -> httpx2.URL:
    url = httpx2.URL(base_url)
    return url.copy_with(path=url.path.rstrip("/") + "/chat/completions")


def _headers(api_key: str | None) -> dict[str, str]:
    # Unencoded, since compressing proxies hold small pieces back.
    headers = {"Accept-Encoding": "identity", "User-Agent": "parley"}
    return headers | {"Authorization": f"Bearer {api_key}"} if api_key else headers


def _keep_provider_out_of_logs() -> None:
    """Below WARNING the HTTP library logs the provider's status texts and headers."""
    for name in ("httpx2", "httpcore2"):
        logger = logging.getLogger(name)
        logger.setLevel(max(logger.level, logging.WARNING))
