"""What README.md and the documents say is so."""

import re

import pytest

from app import Prompt, ToolError
from app.settings import Settings

from ..client import bearer
from ..readme import README, ROOT, blocks, example

SETTINGS = (ROOT / "docs" / "operations.md").read_text()
DOCUMENTS = [README, ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
SAMPLE = ROOT / ".env.example"
# What gunicorn.conf.py and the embedded servers read; the rest is the application's.
ELSEWHERE = {"HOST", "PORT", "WEB_CONCURRENCY", "WORKER_CLASS", "GUNICORN_THREADS", "PARLEY_DATA"}


@pytest.fixture
def environ(settings, monkeypatch):
    """The settings of these tests, as the example finds them."""
    given = {
        "DATABASE_URL": settings.database_url,
        "SERVICE_AUTH_SECRET": settings.auth.secrets[""],
        "SERVICE_AUTH_ISSUER": settings.auth.issuer,
        "SERVICE_AUTH_AUDIENCE": settings.auth.audience,
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("REDIS_URL", raising=False)


class Noted(dict):
    """An environment that remembers what it was asked for."""

    def __init__(self, **given):
        super().__init__(given)
        self.asked = set()

    def get(self, name, default=None):
        self.asked.add(name)
        return super().get(name, default)


def settings_read():
    """The names of all variables that the application reads."""
    asked = set()
    provider = {"SERVICE_AUTH_JWKS_URL": "https://id/keys", "SERVICE_AUTH_JWKS_ISSUER": "c"}
    for choice in ({"DATABASE_URL": "postgresql://db/parley"}, {"POSTGRES_HOST": "db"} | provider):
        environ = Noted(
            **choice,
            SERVICE_AUTH_SECRET="0123456789abcdefghijklmnopqrstuvwxyz",
            SERVICE_AUTH_ISSUER="a",
            SERVICE_AUTH_AUDIENCE="b",
        )
        Settings.from_environ(environ)
        asked |= environ.asked
    return {name for name in asked if name.removesuffix("_FILE") not in asked - {name}}


def test_the_readme_is_short():
    assert len(README.read_text().splitlines()) <= 120


def test_mounting_takes_at_most_fifteen_lines_which_work(app, environ, email):
    assert len(example().strip().splitlines()) <= 15
    made = {"__name__": __name__}
    exec(example().replace("from parley ", "from app "), made)
    try:
        http = made["app"].test_client()
        signed = {"Authorization": f"Bearer {bearer(app, email)}"}
        asked = {"message": "Where is Huế?"}
        answer = http.post("/api/chat", json=asked, headers=signed)
        assert answer.text.startswith("You asked: Where is Huế?")
        kept = http.get("/api/conversations", headers=signed).json["conversations"]
        assert [item["message_count"] for item in kept] == [2]
    finally:
        made["app"].extensions["parley"].close()


def test_the_tool_shown_can_be_called(app, environ):
    _, source = blocks("python", ROOT / "docs" / "responders.md")
    made = {"__name__": __name__}
    exec(source.replace("from parley ", "from app "), made)
    made["parley"].close()
    prompt = Prompt(question="Where?", user_email="ann@example.com", dept="tea")
    (page,) = made["handbook"].run(prompt, {"words": "cups"}).contexts
    assert page["text"] == "About cups, for tea"
    with pytest.raises(ToolError):
        made["handbook"].run(prompt, {})


def test_the_cached_function_shown_is_called_once_for_each_user(
    database_urls, environ, monkeypatch, email
):
    monkeypatch.setenv("REDIS_URL", database_urls.redis)
    source, _ = blocks("python", ROOT / "docs" / "responders.md")
    made = {"__name__": __name__}
    exec(source.replace("from parley ", "from app "), made)
    try:
        http = made["parley"].application().test_client()
        signed = {"Authorization": f"Bearer {bearer(http.application, email)}"}
        answers = [
            http.post("/chat?wire=text", json={"message": "cups"}, headers=signed).text
            for _ in range(2)
        ]
        assert answers[0].startswith("About cups, page 0, for None")
        assert answers[0] == answers[1]
        assert made["parley"].redis.counts.snapshot()["result", "hit"] == 1
        assert made["parley"].invalidate("handbook")
    finally:
        made["parley"].close()


def test_the_answer_shown_is_the_one_that_a_newcomer_gets(client):
    requests = [block for block in blocks() if "curl" in block]
    shown = blocks()[blocks().index(requests[0]) + 1]
    question = re.search(r'"message": "([^"]+)"', requests[0])[1]
    assert client.ask(question, wire="text").text.strip() == shown.strip()


def test_the_make_targets_named_exist():
    text = "\n".join(path.read_text() for path in DOCUMENTS)
    named = set(re.findall(r"(?:^|`)make ([\w-]+)", text, re.M))
    targets = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.M))
    assert {"run", "test"} <= named <= targets


def _anchor(heading):
    """What a heading is called in links: as GitHub makes it."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(path):
    text = path.read_text()
    for link, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", text):
        target = (path.parent / link) if link else path
        assert target.exists(), link
        headings = re.findall(r"^#+ (.+)$", target.read_text(), re.M) if anchor else []
        assert not anchor or anchor in {_anchor(heading) for heading in headings}


def test_the_settings_told_are_those_that_are_read():
    rows = re.findall(r"^\| ([A-Z][A-Z_]+) \|.*$", SETTINGS, re.M)
    parts = set(re.findall(r"\bPOSTGRES_[A-Z]+", SETTINGS))
    assert len(set(rows)) == len(rows)
    assert set(rows) | parts == settings_read()


def test_the_defaults_told_are_the_defaults():
    told = dict(re.findall(r"^\| ([A-Z][A-Z_]+) \| (\S+)(?: s)? \|", SETTINGS, re.M))
    fields = Settings.__dataclass_fields__
    plain = {name: value for name, value in told.items() if name.lower() in fields and value != "–"}
    assert len(plain) > 15
    for name, value in plain.items():
        default = fields[name.lower()].default
        written = value.capitalize() if isinstance(default, bool) else type(default)(value)
        assert str(written) == str(default), name


def test_the_sample_environment_names_settings_only():
    named = set(re.findall(r"^#?([A-Z][A-Z_]+)=", SAMPLE.read_text(), re.M))
    assert named - ELSEWHERE <= settings_read()


def test_every_route_is_told(app):
    text = (ROOT / "docs" / "api.md").read_text()
    served = {
        (method, re.sub(r"<[^<>]+>", "{id}", rule.rule))
        for rule in app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
        if not rule.endpoint.startswith("parley_fallback.")
    } - {("GET", "/docs/{id}")}
    table = [line for line in text.splitlines() if re.match(r"\| `[A-Z]+ /", line)]
    told = set()
    for line in table:
        method = re.match(r"\| `([A-Z]+) ", line)[1]
        first = line.split("|")[1]
        paths = re.findall(r"(/[\w./{}-]+)", first)
        told |= {(method, re.sub(r"{\w+}", "{id}", path)) for path in paths}
    assert told == served
