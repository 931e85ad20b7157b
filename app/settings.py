"""What can be set, with types, defaults and limits. Read once, at start.

Any variable may come from a file: `NAME_FILE` names it (container secrets). There are no default
secrets: what must be secret must be set.
"""

import os
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from .errors import SettingsError

_SECRET_BYTES = 32
_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})
_GUESSABLE = frozenset({"changeme", "secret", "default", "password", "your_service_secret"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Parley's settings. Times in seconds unless the name says otherwise; sizes in bytes."""

    database_url: str = field(repr=False)
    database_owner_url: str | None = field(default=None, repr=False)
    db_pool_size: int = 4
    db_max_overflow: int = 4
    db_pool_timeout: float = 10.0
    db_statement_timeout: float = 10.0
    db_lock_timeout: float = 3.0
    db_slow_query_ms: int = 200
    redis_url: str | None = field(default=None, repr=False)
    enable_redis_cache: bool = True
    redis_cache_ttl: int = 3600
    redis_cache_limit: int = 50
    service_auth_secrets: Mapping[str, str] = field(repr=False)
    service_auth_issuer: str
    service_auth_audience: str
    max_history: int = 20
    max_history_tokens: int = 8000
    responder: str = "recall"
    openai_base_url: str | None = None
    openai_api_key: str | None = field(default=None, repr=False)
    openai_model: str | None = None
    model_timeout: float = 60.0
    max_message_bytes: int = 1_000_000
    max_body_bytes: int = 8_000_000
    max_answer_bytes: int = 4_000_000
    max_runs_per_user: int = 4
    log_level: str = "INFO"
    log_format: str = "json"
    log_file: str | None = None

    @property
    def uses_redis(self) -> bool:
        return self.enable_redis_cache and self.redis_url is not None

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] | None = None) -> "Settings":
        """The settings that `environ` (default: the process's own) describes.

        Raises SettingsError that names every fault at once.
        """
        return _Reader(os.environ if environ is None else environ).settings()


class _Reader:
    """Reads one variable after the other and collects the faults instead of stopping at them."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._faults: dict[str, list[str]] = defaultdict(list)

    def settings(self) -> Settings:
        settings = Settings(
            database_url=self._database_url(),
            database_owner_url=normalised(self._text("DATABASE_OWNER_URL")),
            db_pool_size=self._count("DB_POOL_SIZE", 4),
            db_max_overflow=self._count("DB_MAX_OVERFLOW", 4, least=0),
            db_pool_timeout=self._seconds("DB_POOL_TIMEOUT", 10.0),
            db_statement_timeout=self._seconds("DB_STATEMENT_TIMEOUT", 10.0),
            db_lock_timeout=self._seconds("DB_LOCK_TIMEOUT", 3.0),
            db_slow_query_ms=self._count("DB_SLOW_QUERY_MS", 200),
            redis_url=self._redis_url(),
            enable_redis_cache=self._flag("ENABLE_REDIS_CACHE", default=True),
            redis_cache_ttl=self._count("REDIS_CACHE_TTL", 3600),
            redis_cache_limit=self._count("REDIS_CACHE_LIMIT", 50, most=1000),
            service_auth_secrets=self._secrets(),
            service_auth_issuer=self._required("SERVICE_AUTH_ISSUER"),
            service_auth_audience=self._required("SERVICE_AUTH_AUDIENCE"),
            max_history=self._count("MAX_HISTORY", 20, least=0, most=1000),
            max_history_tokens=self._count("MAX_HISTORY_TOKENS", 8000),
            responder=self._text("RESPONDER") or "recall",
            openai_base_url=self._text("OPENAI_BASE_URL"),
            openai_api_key=self._text("OPENAI_API_KEY"),
            openai_model=self._text("OPENAI_MODEL"),
            model_timeout=self._seconds("MODEL_TIMEOUT", 60.0),
            max_message_bytes=self._count("MAX_MESSAGE_BYTES", 1_000_000),
            max_body_bytes=self._count("MAX_BODY_BYTES", 8_000_000),
            max_answer_bytes=self._count("MAX_ANSWER_BYTES", 4_000_000),
            max_runs_per_user=self._count("MAX_RUNS_PER_USER", 4),
            log_level=self._choice("LOG_LEVEL", "INFO", "DEBUG", "WARNING", "ERROR"),
            log_format=self._choice("LOG_FORMAT", "json", "text"),
            log_file=self._environ.get("LOG_FILE") or None,
        )
        if self._faults:
            raise SettingsError(self._faults)
        return settings

    def _text(self, name: str) -> str | None:
        """The variable's value, or what stands in the file that NAME_FILE names; '' is unset."""
        if path := self._environ.get(f"{name}_FILE"):
            try:
                return Path(path).read_text(encoding="utf-8").strip() or None
            except (OSError, UnicodeDecodeError) as error:
                self._faults[f"{name}_FILE"].append(f"can't be read ({type(error).__name__}).")
        return self._environ.get(name) or None

    def _required(self, name: str) -> str:
        value = self._text(name)
        if value is None:
            self._faults[name].append("is missing.")
        return value or ""

    def _count(self, name: str, default: int, *, least: int = 1, most: int = 2**31) -> int:
        return int(self._number(name, default, least=least, most=most, kind=int))

    def _seconds(self, name: str, default: float) -> float:
        return self._number(name, default, least=0.05, most=3600, kind=float)

    def _number(
        self, name: str, default: float, *, least: float, most: float, kind: type[int | float]
    ) -> float:
        value = self._text(name)
        try:
            number = default if value is None else kind(value)
        except ValueError:
            self._faults[name].append("must be a number.")
            return default
        if not least <= number <= most:
            self._faults[name].append(f"must be between {least} and {most}.")
        return number

    def _flag(self, name: str, *, default: bool) -> bool:
        value = (self._text(name) or str(default)).lower()
        if value not in _TRUE | _FALSE:
            self._faults[name].append("must be true or false.")
        return value in _TRUE

    def _choice(self, name: str, default: str, *others: str) -> str:
        value = self._text(name) or default
        if value not in (default, *others):
            self._faults[name].append(f"must be one of {', '.join((default, *others))}.")
        return value

    def _database_url(self) -> str:
        url = self._text("DATABASE_URL") or self._database_url_of_parts()
        if not url:
            self._faults["DATABASE_URL"].append("is missing (or set POSTGRES_HOST and its kin).")
        elif not url.startswith(("postgres://", "postgresql://", "postgresql+psycopg2://")):
            self._faults["DATABASE_URL"].append("must be a postgresql:// URL.")
        return normalised(url) or ""

    def _database_url_of_parts(self) -> str | None:
        host = self._text("POSTGRES_HOST")
        if host is None:
            return None
        user = quote(self._text("POSTGRES_USER") or "parley_app", safe="")
        password = quote(self._text("POSTGRES_PASSWORD") or "", safe="")
        name = quote(self._text("POSTGRES_DB") or "parley", safe="")
        port = self._count("POSTGRES_PORT", 5432, most=65535)
        return f"postgresql://{user}:{password}@{host}:{port}/{name}"

    def _redis_url(self) -> str | None:
        url = self._text("REDIS_URL")
        if url and not url.startswith(("redis://", "rediss://")):
            self._faults["REDIS_URL"].append("must be a redis:// or rediss:// URL.")
        return url

    def _secrets(self) -> Mapping[str, str]:
        """Secrets by key id. `SERVICE_AUTH_SECRET` is one without an id, filed under ''."""
        several = self._text("SERVICE_AUTH_SECRETS") or ""
        single = self._text("SERVICE_AUTH_SECRET")
        secrets = dict(self._named(pair) for pair in several.split(",") if pair)
        if single:
            secrets[""] = single
        if not secrets:
            self._faults["SERVICE_AUTH_SECRET"].append("is missing: there is no default.")
        for key_id, secret in secrets.items():
            self._check_secret(key_id, secret)
        return secrets

    def _named(self, pair: str) -> tuple[str, str]:
        key_id, colon, secret = pair.strip().partition(":")
        if not (key_id and colon):
            self._faults["SERVICE_AUTH_SECRETS"].append("must read kid:secret,kid:secret.")
        return key_id, secret

    def _check_secret(self, key_id: str, secret: str) -> None:
        name = "SERVICE_AUTH_SECRETS" if key_id else "SERVICE_AUTH_SECRET"
        if len(secret.encode()) < _SECRET_BYTES:
            self._faults[name].append(f"must be at least {_SECRET_BYTES} bytes long.")
        elif secret.lower().strip("0123456789-_") in _GUESSABLE or len(set(secret)) < 8:
            self._faults[name].append("can be guessed: use random bytes.")


def normalised(url: str | None) -> str | None:
    """A PostgreSQL URL with the driver named: SQLAlchemy and libpq disagree about the rest."""
    if not url:
        return None
    scheme, _, rest = url.partition("://")
    return f"postgresql+psycopg2://{rest}" if scheme in {"postgres", "postgresql"} else url
