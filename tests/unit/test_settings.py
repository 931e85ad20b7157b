import pytest

from app.errors import SettingsError
from app.settings import Settings

SECRET = "0123456789abcdefghijklmnopqrstuvwxyz"
GOOD = {
    "DATABASE_URL": "postgres://parley_app:pw@db/parley?sslmode=require",
    "SERVICE_AUTH_SECRET": SECRET,
    "SERVICE_AUTH_ISSUER": "frontend",
    "SERVICE_AUTH_AUDIENCE": "parley",
}


def faults_of(**changes):
    with pytest.raises(SettingsError) as raised:
        Settings.from_environ(GOOD | changes)
    return raised.value.faults


def test_little_is_required_and_the_rest_has_defaults():
    settings = Settings.from_environ(GOOD)
    assert settings.database_url == "postgresql+psycopg2://parley_app:pw@db/parley?sslmode=require"
    assert (settings.max_history, settings.redis_cache_limit, settings.responder) == (
        20,
        50,
        "recall",
    )
    assert not settings.uses_redis


def test_every_fault_is_reported_at_once_by_name():
    with pytest.raises(SettingsError) as raised:
        Settings.from_environ({"DB_POOL_SIZE": "many", "MODEL_TIMEOUT": "-1", "LOG_FORMAT": "xml"})
    assert set(raised.value.faults) == {
        "DATABASE_URL",
        "DB_POOL_SIZE",
        "LOG_FORMAT",
        "MODEL_TIMEOUT",
        "SERVICE_AUTH_AUDIENCE",
        "SERVICE_AUTH_ISSUER",
        "SERVICE_AUTH_SECRET",
    }
    assert "DB_POOL_SIZE: must be a number." in str(raised.value)


def test_how_redis_caches_can_be_chosen():
    redis = GOOD | {"REDIS_URL": "redis://cache"}
    assert Settings.from_environ(redis).cache_mode == "fast"
    assert Settings.from_environ(redis | {"CACHE_MODE": "strict"}).cache_mode == "strict"
    assert not Settings.from_environ(redis | {"CACHE_MODE": "off"}).uses_redis
    assert not Settings.from_environ(redis | {"ENABLE_REDIS_CACHE": "false"}).uses_redis
    assert "CACHE_MODE" in faults_of(CACHE_MODE="sometimes")


def test_a_file_that_is_not_there_is_a_fault_of_the_variable_that_names_it():
    assert "OPENAI_API_KEY_FILE" in faults_of(OPENAI_API_KEY_FILE="/nowhere/key")


def test_the_database_can_be_named_in_parts():
    parts = {
        "DATABASE_URL": "",
        "POSTGRES_HOST": "db",
        "POSTGRES_USER": "parley_app",
        "POSTGRES_PASSWORD": "p@ss/word",
        "POSTGRES_DB": "chats",
    }
    settings = Settings.from_environ(GOOD | parts)
    assert settings.database_url == "postgresql+psycopg2://parley_app:p%40ss%2Fword@db:5432/chats"


def test_another_database_is_refused():
    assert "DATABASE_URL" in faults_of(DATABASE_URL="sqlite:///chats.db")


def test_a_redis_url_turns_the_cache_on_and_a_flag_turns_it_off():
    named = GOOD | {"REDIS_URL": "redis://cache"}
    assert Settings.from_environ(named).uses_redis
    assert not Settings.from_environ(named | {"ENABLE_REDIS_CACHE": "false"}).uses_redis
    assert "ENABLE_REDIS_CACHE" in faults_of(ENABLE_REDIS_CACHE="perhaps")
    assert "REDIS_URL" in faults_of(REDIS_URL="http://cache")


def test_a_redis_over_tls_has_to_prove_itself():
    for foul in (
        "ssl_cert_reqs=none", "ssl_cert_reqs=optional", "ssl_check_hostname=false",
        "db=1&ssl_cert_reqs=None", "ssl_check_hostname=False", "ssl_check_hostname=0",
    ):  # fmt: skip
        assert set(faults_of(REDIS_URL=f"rediss://cache?{foul}")) == {"REDIS_URL"}, foul
    strict = "rediss://cache?ssl_cert_reqs=required&ssl_check_hostname=true&ssl_ca_certs=/ca.pem"
    assert Settings.from_environ(GOOD | {"REDIS_URL": strict}).redis_url == strict


def test_no_secret_shows_in_a_settings_object():
    shown = repr(Settings.from_environ(GOOD | {"OPENAI_API_KEY": "sk-very-secret"}))
    assert SECRET not in shown
    assert "sk-very-secret" not in shown
    assert "pw@" not in shown


def test_limits_are_set_or_lifted_by_name():
    settings = Settings.from_environ(GOOD)
    assert (settings.rate_limit_default, settings.rate_limit_chat, settings.rate_limit_create) == (
        "600/minute",
        "30/minute",
        "60/minute",
    )
    assert (settings.daily_message_quota, settings.daily_token_quota) == (None, None)
    lifted = Settings.from_environ(GOOD | {"RATE_LIMIT_CHAT": "none", "DAILY_TOKEN_QUOTA": "0"})
    assert (lifted.rate_limit_chat, lifted.daily_token_quota) == (None, 0)


def test_every_limit_that_can_not_be_read_is_a_fault_by_its_name():
    foul = {
        "RATE_LIMIT_DEFAULT": "0/min",
        "RATE_LIMIT_CHAT": "1/fortnight",
        "RATE_LIMIT_CREATE": "-1/min",
        "DAILY_MESSAGE_QUOTA": "-1",
        "DAILY_TOKEN_QUOTA": "plenty",
        "COMPAT_RAG_PREFIX": "/",
        "COMPAT_CHATBOT_PREFIX": "/bot/",
        "CORS_ORIGINS": "*",
        "TRUSTED_PROXIES": "all",
    }
    assert set(faults_of(**foul)) == foul.keys()
    for most in ("-1", "11"):
        assert set(faults_of(TRUSTED_PROXIES=most)) == {"TRUSTED_PROXIES"}


def test_an_origin_is_named_as_browsers_send_it_and_no_pattern():
    named = "https://chat.example.com, http://localhost:3000,https://[::1]:8443"
    settings = Settings.from_environ(GOOD | {"CORS_ORIGINS": named})
    assert settings.cors_origins == tuple(part.strip() for part in named.split(","))
    assert Settings.from_environ(GOOD).cors_origins == ()
    for foul in (
        "*", "https://*", "https://*.example.com", "null", "example.com", "//example.com",
        "https://example.com/", "https://example.com/chat", "https://user@example.com", "https://",
        "ftp://example.com", "https://example.com:port", "https://Example.com", ".*",
        "https://example.com?x", "https://example.com|https://evil.example", "https://exa mple.com",
        "https://a.example,*", "https://..", "https://a..b", "https://.a", "https://a.",
    ):  # fmt: skip
        assert set(faults_of(CORS_ORIGINS=foul)) == {"CORS_ORIGINS"}, foul


def test_other_clients_routes_stand_where_it_is_said_or_nowhere():
    settings = Settings.from_environ(GOOD | {"COMPAT_RAG_PREFIX": "/api/v1"})
    assert (settings.compat_rag_prefix, settings.compat_chatbot_prefix) == (
        "/api/v1",
        "/compat/chatbot",
    )
    assert Settings.from_environ(GOOD | {"COMPAT_RAG_PREFIX": "None"}).compat_rag_prefix is None
    for foul in ("/", "compat", "/compat/", "//x", "/a b", "/<id>", "/../x", "https://x/y"):
        assert set(faults_of(COMPAT_CHATBOT_PREFIX=foul)) == {"COMPAT_CHATBOT_PREFIX"}, foul
