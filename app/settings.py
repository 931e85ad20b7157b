"""What can be set, with types, defaults and limits. Read once, at start.

Any variable may come from a file: `NAME_FILE` names it (container secrets). There are no default
secrets: what must be secret must be set.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

from .auth_settings import AuthSettings
from .environ import Environ
from .redis_url import read_redis_url

PREFIX = re.compile(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+")
"""A path under which routes can stand: not the root."""
_LABEL = r"[a-z0-9]+(-+[a-z0-9]+)*"
_ORIGIN = re.compile(rf"https?://({_LABEL}(\.{_LABEL})*|\[[0-9a-f:]+\])(:[0-9]{{1,5}})?")
_USUAL_PORT = re.compile(r"https:.*:443$|http:.*:80$")


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
    db_prepare: bool = True
    redis_url: str | None = field(default=None, repr=False)
    enable_redis_cache: bool = True
    redis_cache_ttl: int = 3600
    redis_cache_limit: int = 50
    cache_mode: str = "fast"
    cache_warm_listed: int = 0
    auth: AuthSettings
    max_history: int = 20
    max_history_tokens: int = 8000
    responder: str = "recall"
    openai_base_url: str | None = None
    openai_api_key: str | None = field(default=None, repr=False)
    openai_model: str | None = None
    model_timeout: float = 60.0
    agent_responder: str = "agent"
    agent_max_steps: int = 8
    agent_timeout: float = 120.0
    agent_max_tokens: int = 50_000
    max_message_bytes: int = 1_000_000
    max_body_bytes: int = 8_000_000
    max_answer_bytes: int = 4_000_000
    max_runs_per_user: int = 4
    rate_limit_default: str | None = "600/minute"
    rate_limit_chat: str | None = "30/minute"
    rate_limit_create: str | None = "60/minute"
    daily_message_quota: int | None = None
    daily_token_quota: int | None = None
    grace_seconds: int = 20
    trash_days: int = 30
    compat_rag_prefix: str | None = "/compat/rag"
    compat_chatbot_prefix: str | None = "/compat/chatbot"
    cors_origins: tuple[str, ...] = ()
    trusted_proxies: int = 0
    enable_metrics: bool = True
    log_level: str = "INFO"
    log_format: str = "json"
    log_file: str | None = None

    @property
    def uses_redis(self) -> bool:
        is_wanted = self.enable_redis_cache and self.cache_mode != "off"
        return is_wanted and self.redis_url is not None

    @property
    def copies_strictly(self) -> bool:
        """Whether PostgreSQL is asked for each copy's revision.

        Always where Redis may fail over to a replica that lagged behind: what it had confirmed of
        a write may be undone then.
        """
        is_replicated = self.redis_url is not None and read_redis_url(self.redis_url).is_replicated
        return self.cache_mode == "strict" or is_replicated

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] | None = None) -> "Settings":
        """The settings that `environ` (default: the process's own) describes.

        Raises SettingsError that names every fault at once.
        """
        variables = Environ(os.environ if environ is None else environ)
        settings = _settings(variables)
        variables.check()
        return settings


def _settings(variables: Environ) -> Settings:
    return Settings(
        database_url=_database_url(variables),
        database_owner_url=_owner_url(variables),
        db_pool_size=variables.count("DB_POOL_SIZE", 4),
        db_max_overflow=variables.count("DB_MAX_OVERFLOW", 4, least=0),
        db_pool_timeout=variables.seconds("DB_POOL_TIMEOUT", 10.0),
        db_statement_timeout=variables.seconds("DB_STATEMENT_TIMEOUT", 10.0),
        db_lock_timeout=variables.seconds("DB_LOCK_TIMEOUT", 3.0),
        db_slow_query_ms=variables.count("DB_SLOW_QUERY_MS", 200),
        db_prepare=variables.flag("DB_PREPARE", default=True),
        redis_url=_redis_url(variables),
        enable_redis_cache=variables.flag("ENABLE_REDIS_CACHE", default=True),
        redis_cache_ttl=variables.count("REDIS_CACHE_TTL", 3600, most=7 * 86_400),
        redis_cache_limit=variables.count("REDIS_CACHE_LIMIT", 50, most=1000),
        cache_mode=variables.choice("CACHE_MODE", "fast", "strict", "off"),
        cache_warm_listed=variables.count("CACHE_WARM_LISTED", 0, least=0, most=20),
        auth=AuthSettings.of(variables),
        max_history=variables.count("MAX_HISTORY", 20, least=0, most=1000),
        max_history_tokens=variables.count("MAX_HISTORY_TOKENS", 8000),
        responder=variables.text("RESPONDER") or "recall",
        openai_base_url=variables.text("OPENAI_BASE_URL"),
        openai_api_key=variables.text("OPENAI_API_KEY"),
        openai_model=variables.text("OPENAI_MODEL"),
        model_timeout=variables.seconds("MODEL_TIMEOUT", 60.0),
        agent_responder=variables.text("AGENT_RESPONDER") or "agent",
        agent_max_steps=variables.count("AGENT_MAX_STEPS", 8, most=100),
        agent_timeout=variables.seconds("AGENT_TIMEOUT", 120.0),
        agent_max_tokens=variables.count("AGENT_MAX_TOKENS", 50_000),
        max_message_bytes=variables.count("MAX_MESSAGE_BYTES", 1_000_000),
        max_body_bytes=variables.count("MAX_BODY_BYTES", 8_000_000),
        max_answer_bytes=variables.count("MAX_ANSWER_BYTES", 4_000_000),
        max_runs_per_user=variables.count("MAX_RUNS_PER_USER", 4),
        rate_limit_default=variables.rate("RATE_LIMIT_DEFAULT", "600/minute"),
        rate_limit_chat=variables.rate("RATE_LIMIT_CHAT", "30/minute"),
        rate_limit_create=variables.rate("RATE_LIMIT_CREATE", "60/minute"),
        daily_message_quota=variables.quota("DAILY_MESSAGE_QUOTA"),
        daily_token_quota=variables.quota("DAILY_TOKEN_QUOTA"),
        grace_seconds=variables.count("GRACE_SECONDS", 20, most=3600),
        trash_days=variables.count("TRASH_DAYS", 30, most=36_500),
        compat_rag_prefix=_prefix(variables, "COMPAT_RAG_PREFIX", "/compat/rag"),
        compat_chatbot_prefix=_prefix(variables, "COMPAT_CHATBOT_PREFIX", "/compat/chatbot"),
        cors_origins=_origins(variables),
        trusted_proxies=variables.count("TRUSTED_PROXIES", 0, least=0, most=10),
        enable_metrics=variables.flag("ENABLE_METRICS", default=True),
        log_level=variables.choice("LOG_LEVEL", "INFO", "DEBUG", "WARNING", "ERROR"),
        log_format=variables.choice("LOG_FORMAT", "json", "text"),
        log_file=variables.text("LOG_FILE"),
    )


def _database_url(variables: Environ) -> str:
    url = variables.text("DATABASE_URL") or _database_url_of_parts(variables)
    if not url:
        variables.fault("DATABASE_URL", "is missing (or set POSTGRES_HOST and its kin).")
    return _postgresql_url(variables, "DATABASE_URL", url) or ""


def _owner_url(variables: Environ) -> str | None:
    name = "DATABASE_OWNER_URL"
    return _postgresql_url(variables, name, variables.text(name))


def _postgresql_url(variables: Environ, name: str, url: str | None) -> str | None:
    if url and not url.startswith(("postgres://", "postgresql://", "postgresql+psycopg2://")):
        variables.fault(name, "must be a postgresql:// URL.")
    return normalised(url)


def _database_url_of_parts(variables: Environ) -> str | None:
    host = variables.text("POSTGRES_HOST")
    if host is None:
        return None
    user = quote(variables.text("POSTGRES_USER") or "parley_app", safe="")
    password = quote(variables.text("POSTGRES_PASSWORD") or "", safe="")
    name = quote(variables.text("POSTGRES_DB") or "parley", safe="")
    port = variables.count("POSTGRES_PORT", 5432, most=65535)
    return f"postgresql://{user}:{password}@{host}:{port}/{name}"


def _redis_url(variables: Environ) -> str | None:
    url = variables.text("REDIS_URL")
    try:
        if url:
            read_redis_url(url)
    except ValueError as error:
        variables.fault("REDIS_URL", str(error))
    return url


def _prefix(variables: Environ, name: str, default: str) -> str | None:
    """A path of its own for other clients' routes; None where `none` is set."""
    prefix = variables.text(name) or default
    if prefix.lower() == "none":
        return None
    if not PREFIX.fullmatch(prefix):
        variables.fault(name, f"must be a path like {default}, or none.")
    return prefix


def _origins(variables: Environ) -> tuple[str, ...]:
    """Origins as browsers send them (RFC 6454): `https://host[:port]`, each by its name."""
    origins = variables.words("CORS_ORIGINS")
    if not all(_ORIGIN.fullmatch(origin) for origin in origins):
        variables.fault("CORS_ORIGINS", "must read https://host,https://host: no path, no *.")
    if any(_USUAL_PORT.match(origin) for origin in origins):
        variables.fault("CORS_ORIGINS", "must leave out the usual port, as browsers do.")
    return origins


def normalised(url: str | None) -> str | None:
    """A PostgreSQL URL with the driver named: SQLAlchemy and libpq disagree about the rest."""
    if not url:
        return None
    scheme, _, rest = url.partition("://")
    return f"postgresql+psycopg2://{rest}" if scheme in {"postgres", "postgresql"} else url
