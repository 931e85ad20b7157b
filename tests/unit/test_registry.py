"""What RESPONDER may name, and what a host may hand over."""

import sys
from types import ModuleType

import pytest

from app.errors import SettingsError
from app.responders.base import FunctionResponder, Prompt, TextDelta
from app.responders.openai import OpenAIResponder
from app.responders.recall import RecallResponder
from app.responders.registry import resolve

PROMPT = Prompt(question="Hello?", user_email="ann@example.com")
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


def fault_of(responder=None, **settings):
    with pytest.raises(SettingsError) as caught:
        resolve(responder, search=search, **settings)
    return caught.value.faults


def test_recall_is_the_default():
    assert isinstance(resolve(search=search), RecallResponder)


def test_openai_is_made_from_its_settings():
    responder = resolve(search=search, name="openai", **OPENAI)
    assert isinstance(responder, OpenAIResponder)
    responder.close()


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
    assert said(resolve(search=search, name=reference)) == answer


@pytest.mark.parametrize(
    ("handed_over", "answer"),
    [(shout, "HELLO?"), (Polite(), "You said: Hello?"), (Polite, "You said: Hello?")],
)
def test_what_is_handed_over_goes_before_the_name(handed_over, answer):
    assert said(resolve(handed_over, search=search, name="openai")) == answer


def test_a_name_can_be_handed_over_too():
    assert isinstance(resolve("their_host:shout", search=search), FunctionResponder)


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("gpt", "'gpt' is not known: use recall, openai or module:callable."),
        ("", "'' is not known: use recall, openai or module:callable."),
        (".host:answer", "'.host:answer' is not known: use recall, openai or module:callable."),
        ("no_such_host:answer", "module no_such_host was not found."),
        ("their_host.inner:answer", "module their_host.inner was not found."),
        ("their_host:answer", "module their_host has no answer."),
        ("their_host:shout.louder", "module their_host has no shout.louder."),
        ("their_host:number", "their_host:number is neither a responder nor callable."),
    ],
)
def test_a_wrong_name_is_a_fault_that_says_why(name, complaint):
    assert fault_of(name=name) == {"RESPONDER": [complaint]}


def test_a_class_that_wants_arguments_is_a_fault():
    ((complaint,),) = fault_of(name="their_host:Demanding").values()
    assert complaint.startswith("their_host:Demanding can't be made without arguments:")
    assert "price" in complaint


def test_a_module_that_lacks_another_is_told_from_one_that_is_not_there(tmp_path, monkeypatch):
    (tmp_path / "half_installed_host.py").write_text("import no_such_library")
    monkeypatch.syspath_prepend(tmp_path)
    assert fault_of(name="half_installed_host:answer") == {
        "RESPONDER": ["module half_installed_host needs no_such_library, which is not installed."]
    }


def test_what_is_handed_over_must_be_able_to_answer():
    assert fault_of(5) == {
        "RESPONDER": ["the given responder is neither a responder nor callable."]
    }


def test_openai_without_its_settings_names_each():
    assert set(fault_of(name="openai")) == {"OPENAI_BASE_URL", "OPENAI_MODEL"}
    assert set(fault_of(name="openai", openai_model="m")) == {"OPENAI_BASE_URL"}
