"""Whose tokens are believed: weak or contradictory settings are refused, each by its name."""

from app.auth_settings import PUBLIC_KEY, AuthSettings
from app.environ import Environ
from app.errors import SettingsError

SECRET = "0123456789abcdefghijklmnopqrstuvwxyz"
URL = "https://provider.example.com/.well-known/jwks.json"
OURS = {"SERVICE_AUTH_ISSUER": "frontend", "SERVICE_AUTH_AUDIENCE": "parley"}
SECRETS = OURS | {"SERVICE_AUTH_SECRET": SECRET}
PROVIDER = OURS | {"SERVICE_AUTH_JWKS_URL": URL}
BOTH = SECRETS | PROVIDER | {"SERVICE_AUTH_JWKS_ISSUER": "https://provider.example.com/"}


def read(environ):
    variables = Environ(environ)
    settings = AuthSettings.of(variables)
    variables.check()
    return settings


def faults_of(environ):
    """The names of variables that are refused; what is refused never shows in the message."""
    try:
        read(environ)
    except SettingsError as error:
        shown = [value for value in environ.values() if len(value) > 20 and value in str(error)]
        return set(error.faults).union(shown)
    return set()


def test_secrets_of_our_own_are_enough():
    settings = read(SECRETS)
    assert (settings.issuer, settings.audience) == ("frontend", "parley")
    assert (settings.secrets, settings.provider) == ({"": SECRET}, None)
    assert not settings.allow_anonymous


def test_a_provider_is_enough_and_takes_the_issuer_and_audience_given():
    settings = read(PROVIDER)
    assert settings.secrets == {}
    assert settings.provider.issuer == "frontend"
    assert settings.provider.audience == "parley"
    assert settings.provider.jwks_url == URL
    assert settings.provider.algorithms == PUBLIC_KEY


def test_beside_secrets_a_provider_is_another_issuer():
    own = {"SERVICE_AUTH_JWKS_AUDIENCE": "client-42", "SERVICE_AUTH_ALGORITHMS": "ES256, RS256"}
    settings = read(BOTH | own | {"ALLOW_ANONYMOUS": "yes"})
    assert settings.issuer == "frontend"
    assert settings.provider.issuer == "https://provider.example.com/"
    assert settings.provider.audience == "client-42"
    assert settings.provider.algorithms == ("ES256", "RS256")
    assert settings.allow_anonymous


WEAK = {
    "nothing at all": ({}, {"ISSUER", "AUDIENCE", "SECRET"}),
    "no issuer": (SECRETS | {"SERVICE_AUTH_ISSUER": ""}, {"ISSUER"}),
    "no audience": (SECRETS | {"SERVICE_AUTH_AUDIENCE": ""}, {"AUDIENCE"}),
    "nobody who signs": (OURS, {"SECRET"}),
    "visitors without a secret": (PROVIDER | {"ALLOW_ANONYMOUS": "true"}, {"ALLOW_ANONYMOUS"}),
    "visitors and no secret at all": (
        OURS | {"ALLOW_ANONYMOUS": "true"},
        {"ALLOW_ANONYMOUS", "SECRET"},
    ),
    "visitors, perhaps": (SECRETS | {"ALLOW_ANONYMOUS": "perhaps"}, {"ALLOW_ANONYMOUS"}),
    "two families and one issuer": (BOTH | {"SERVICE_AUTH_JWKS_ISSUER": ""}, {"JWKS_ISSUER"}),
    "two families and one issuer by name": (
        BOTH | {"SERVICE_AUTH_JWKS_ISSUER": "frontend"},
        {"JWKS_ISSUER"},
    ),
    "named secrets beside a provider of one issuer": (
        PROVIDER | {"SERVICE_AUTH_SECRETS": f"a:{SECRET}"},
        {"JWKS_ISSUER"},
    ),
    "all at once": (
        {"SERVICE_AUTH_SECRET": "short", "SERVICE_AUTH_SECRETS": "x", "ALLOW_ANONYMOUS": "2"}
        | {"SERVICE_AUTH_JWKS_URL": "http://example.com", "SERVICE_AUTH_ALGORITHMS": "none"},
        {
            *("ISSUER", "AUDIENCE", "SECRET", "SECRETS", "JWKS_URL", "JWKS_ISSUER", "ALGORITHMS"),
            "ALLOW_ANONYMOUS",
        },
    ),
}


def test_weak_settings_are_refused_by_name_all_at_once():
    for case, (environ, names) in WEAK.items():
        full = {name if name == "ALLOW_ANONYMOUS" else f"SERVICE_AUTH_{name}" for name in names}
        assert faults_of(environ) == full, case


def test_keys_come_over_tls_or_from_this_machine():
    for url in (
        "http://provider.example.com/keys", "http://10.0.0.1/keys", "http://127.1/keys",
        "http://localhost.example.com/", "http://localhost@example.com/", "http://[::2]/",
        "https://user:password@example.com/keys", "https://@example.com/", "https://example.com/#a",
        "https://", "https:///keys", "https:example.com", "ftp://example.com/keys", "file:///keys",
        "//example.com/keys", "example.com", "https://[::1", "https://[]/", "https://h:port/keys",
        "https://h:99999/keys", "https://exa mple.com/", "https://h\\@example.com/", "data:,{}",
        "https://example.com/ke ys", "https://exam\tple.com/", "https://h:0/",
    ):  # fmt: skip
        assert faults_of(PROVIDER | {"SERVICE_AUTH_JWKS_URL": url}) == {"SERVICE_AUTH_JWKS_URL"}, (
            url
        )
    for url in (
        URL, "https://10.0.0.1:8443/keys?a=b", "https://[2001:db8::1]/keys", "HTTPS://Example.com",
        "http://127.0.0.1:8080/keys", "http://127.9.9.9/", "http://localhost/k", "http://[::1]:80/k",
        "https://bücher.example/keys",
    ):  # fmt: skip
        assert faults_of(PROVIDER | {"SERVICE_AUTH_JWKS_URL": url}) == set(), url


def test_a_provider_signs_with_public_keys_only_and_secrets_with_hs256_only():
    for algorithms in (
        "HS256",
        "RS256,HS256",
        "none",
        "RS256,none",
        "PS256",
        "rs256",
        "ES384",
        "*",
    ):
        for environ in (PROVIDER, BOTH):
            named = environ | {"SERVICE_AUTH_ALGORITHMS": algorithms}
            assert faults_of(named) == {"SERVICE_AUTH_ALGORITHMS"}, algorithms
    for algorithms in ("RS256", "HS256,RS256", "none", "HS512", "hs256", "HS256,none", "EdDSA"):
        named = SECRETS | {"SERVICE_AUTH_ALGORITHMS": algorithms}
        assert faults_of(named) == {"SERVICE_AUTH_ALGORITHMS"}, algorithms
    for algorithms in ("", "HS256", " HS256 ,"):
        assert faults_of(SECRETS | {"SERVICE_AUTH_ALGORITHMS": algorithms}) == set()
    for algorithms in ("", ",", "RS256", "EdDSA,ES256,RS256"):
        assert faults_of(PROVIDER | {"SERVICE_AUTH_ALGORITHMS": algorithms}) == set()


FOUL_SECRETS = (
    "x", "short", "x" * 31, "a" * 64, "ab" * 32, "0123456" * 8, "12" * 32, " " * 40,
    "changeme" + "0123456789" * 3, "CHANGEME-" + "1234567890" * 3, "secret_" + "1234567890" * 3,
    "password" * 4, "password" + "-0123456789" * 3, "default" + "0123456789" * 4,
    "your_service_secret" + "0123456789" * 2, "é" * 31, "____----" * 6,
)  # fmt: skip


def test_a_short_or_guessable_secret_is_refused_wherever_it_stands():
    for secret in FOUL_SECRETS:
        single = SECRETS | {"SERVICE_AUTH_SECRET": secret}
        assert faults_of(single) == {"SERVICE_AUTH_SECRET"}, secret
        among = SECRETS | {"SERVICE_AUTH_SECRETS": f"new:{SECRET}1,old:{secret}"}
        assert faults_of(among) == {"SERVICE_AUTH_SECRETS"}, secret


def test_secrets_in_a_list_have_each_a_name_of_their_own():
    for listed in (
        SECRET, f":{SECRET}", "a:", "a", f"a:{SECRET}1,a:{SECRET}2", f"a:{SECRET},a:{SECRET}",
        f"a:{SECRET},{SECRET}", f"a:{SECRET},:{SECRET}", f"a:{SECRET},b:", f"{SECRET}:a",
    ):  # fmt: skip
        named = OURS | {"SERVICE_AUTH_SECRETS": listed}
        assert faults_of(named) == {"SERVICE_AUTH_SECRETS"}, listed
    settings = read(OURS | {"SERVICE_AUTH_SECRETS": f"b:{SECRET}1 , a:{SECRET}:2,"})
    assert list(settings.secrets.items()) == [("b", f"{SECRET}1"), ("a", f"{SECRET}:2")]


def test_no_secret_shows_in_what_settings_look_like():
    assert SECRET not in repr(read(BOTH | {"SERVICE_AUTH_SECRETS": f"a:{SECRET}1"}))
