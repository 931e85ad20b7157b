"""What RESPONDER may name, and what a host may hand over."""

import sys
from types import ModuleType

import pytest

from app.errors import SettingsError, SetupError
from app.responders.base import FunctionResponder, Prompt, TextDelta
from app.responders.recall import RecallResponder
from app.responders.registry import Registry
from app.responders.tools import Tool

PROMPT = Prompt(question="Hello?", user_email="ann@example.com")
KNOWN = "recall, openai, agent or module:callable"
OPENAI = {"openai_base_url": "http://localhost:1/v1", "openai_model": "m"}


class Polite:
    def stream(self, prompt):
        yield TextDelta(f"You said: {prompt.question}")


class Callable:
    def __call__(self, prompt):
        yield prompt.question


class Demanding(Polite):
    def __init__(self, price):
        self.price = price


def shout(prompt):
    yield prompt.question.upper()


@pytest.fixture(autouse=True)
def host_module(monkeypatch):
    module = ModuleType("their_host")
    module.shout, module.Polite, module.Demanding = shout, Polite, Demanding
    module.polite, module.Callable, module.number = Polite(), Callable, 5
    monkeypatch.setitem(sys.modules, "their_host", module)


def search(owner, question, limit):
    return []


def said(responder):
    return "".join(event.text for event in responder.stream(PROMPT))


def resolve(wanted, **settings):
    return Registry(search, **settings).resolve(wanted)


def fault_of(wanted, **settings):
    with pytest.raises(SettingsError) as caught:
        resolve(wanted, **settings)
    return caught.value.faults


def test_recall_needs_no_settings():
    assert isinstance(resolve("recall"), RecallResponder)


@pytest.mark.parametrize("left_out", OPENAI)
def test_an_agent_without_a_model_recalls(left_out):
    settings = {name: value for name, value in OPENAI.items() if name != left_out}
    assert isinstance(resolve("agent", **settings), RecallResponder)


def test_tools_that_can_not_be_called_are_refused_at_once():
    with pytest.raises(SetupError, match="no name for a tool"):
        Registry(search, tools=[Tool("look up", "", {"type": "object"}, print)])


def test_a_fault_names_the_setting_that_is_wrong():
    with pytest.raises(SettingsError) as caught:
        Registry(search).resolve("gpt", setting="AGENT_RESPONDER")
    assert set(caught.value.faults) == {"AGENT_RESPONDER"}


@pytest.mark.parametrize(
    ("reference", "answer"),
    [
        ("their_host:shout", "HELLO?"),
        ("their_host:polite", "You said: Hello?"),
        ("their_host:Polite", "You said: Hello?"),
        ("their_host:polite.stream", "You said: Hello?"),
        ("their_host:Callable", "Hello?"),
    ],
)
def test_a_hosts_own_responder_is_imported_by_name(reference, answer):
    assert said(resolve(reference)) == answer


@pytest.mark.parametrize(
    ("handed_over", "answer"),
    [(shout, "HELLO?"), (Polite(), "You said: Hello?"), (Polite, "You said: Hello?")],
)
def test_what_is_handed_over_answers_itself(handed_over, answer):
    assert said(resolve(handed_over)) == answer


def test_a_function_becomes_a_responder():
    assert isinstance(resolve("their_host:shout"), FunctionResponder)


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("gpt", "'gpt' is not known: use recall, openai, agent or module:callable."),
        ("", "'' is not known: use recall, openai, agent or module:callable."),
        (
            ".host:answer",
            "'.host:answer' is not known: use recall, openai, agent or module:callable.",
        ),
        ("no_such_host:answer", "module no_such_host was not found."),
        ("their_host.inner:answer", "module their_host.inner was not found."),
        ("their_host:answer", "module their_host has no answer."),
        ("their_host:shout.louder", "module their_host has no shout.louder."),
        ("their_host:number", "their_host:number is neither a responder nor callable."),
    ],
)
def test_a_wrong_name_is_a_fault_that_says_why(name, complaint):
    assert fault_of(name) == {"RESPONDER": [complaint]}


def test_a_class_that_wants_arguments_is_a_fault():
    ((complaint,),) = fault_of("their_host:Demanding").values()
    assert complaint.startswith("their_host:Demanding can't be made without arguments:")
    assert "price" in complaint


def test_a_module_that_lacks_another_is_told_from_one_that_is_not_there(tmp_path, monkeypatch):
    (tmp_path / "half_installed_host.py").write_text("import no_such_library")
    monkeypatch.syspath_prepend(tmp_path)
    assert fault_of("half_installed_host:answer") == {
        "RESPONDER": ["module half_installed_host needs no_such_library, which is not installed."]
    }


def test_what_is_handed_over_must_be_able_to_answer():
    assert fault_of(5) == {
        "RESPONDER": ["the given responder is neither a responder nor callable."]
    }


def test_openai_without_its_settings_names_each():
    assert set(fault_of("openai")) == {"OPENAI_BASE_URL", "OPENAI_MODEL"}
    assert set(fault_of("openai", openai_model="m")) == {"OPENAI_BASE_URL"}
