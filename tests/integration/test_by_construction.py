"""No service works without an owner, and no repository reads a user's table without one."""

import importlib
import inspect
import pkgutil
from contextlib import suppress
from typing import get_args, get_type_hints
from uuid import uuid4

import pytest
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app import repositories, services
from app.database import Database
from app.errors import MissingOwnerError, ParleyError
from app.repositories.base import Repository
from app.repositories.migrations import applied_migration
from app.repositories.outbox import forget, standing
from app.repositories.runs import claim_expired, keep
from app.repositories.stats import active_conversations, all_questions, sees_all_users
from app.repositories.trash import count_purgeable, purge_trash
from app.services.accounts import AccountService
from app.services.identity import Identity
from app.sessions import OperationSession, OwnedSession
from app.streaming.events import Watch
from app.streaming.run import Ticket
from tests.client import Client
from tests.driver import statements_of
from tests.evidence import Rows

from .arguments import ARGUMENTS

NOT_OWNERS = ("", None, 7, b"a@example.com", [], object())

# What may come first, and so says whose rows are meant.
OWNERS = {
    "owner": str,
    "address": str,  # operators' commands name a user
    "identity": Identity,
    "session": OwnedSession,
    "ticket": Ticket,
}

# Methods for nobody in particular, each with the reason why that is right.
OWNERLESS = {
    "ActivityService.close": "ends a thread",
    "ActivityService.conversations": "a number of all users together, for operators",
    "CacheService.verify": "operators' check of all copies; tells ids and numbers alone",
    "CacheService.warm": "an operator has copies made, each read as its owner; tells numbers alone",
    "HealthService.check": "reads no user's table",
    "HistoryService.forget": "drops what a cache holds; shows nothing",
    "LedgerService.report": "operators' numbers of all users, which no request can ask for",
    "MessageService.check_sizes": "counts bytes of what was just sent",
    "PurgeService.count": "an operator's number of all users, which no request can ask for",
    "PurgeService.purge": "an operator removes what lay in the trash of all users for long",
    "RunService.keep": "keeps pieces of many owners; each names its run with its owner and attempt",
    "RunService.reap": "claims abandoned runs of all, learns whose, and works as that owner then",
    "TokenService.issue": "signs; reads no rows",
    "TokenService.issue_visitor": "signs; reads no rows",
    "TokenService.verify": "is what finds out who asks",
    "UpkeepService.close": "ends a thread",
    "UpkeepService.look": "delivers which conversations changed: their ids and revisions alone",
    "UpkeepService.start": "starts a thread that looks",
    "UpkeepService.start_soon": "starts a thread that looks",
    "VerificationService.verify": "operators' check of all users; tells ids and numbers alone",
}

VERBS = {
    "find_unique": {"where": {"id": uuid4()}},
    "find_unique_or_raise": {"where": {"id": uuid4()}},
    "find_first": {},
    "find_first_or_raise": {},
    "find_many": {},
    "count": {},
    "create": {"data": {}},
    "create_many": {"data": [{}]},
    "update": {"where": {"id": uuid4()}, "data": {}},
    "update_many": {"data": {}},
    "upsert": {"where": {"id": uuid4()}, "data": {"create": {}, "update": {}}},
    "delete": {"where": {"id": uuid4()}},
    "delete_many": {},
}


def modules_of(package):
    return [
        importlib.import_module(f"{package.__name__}.{module.name}")
        for module in pkgutil.iter_modules(package.__path__)
    ]


def service_methods():
    """Every public method of every service: its name as `Service.method`, and the function."""
    return {
        f"{kind.__name__}.{name}": method
        for module in modules_of(services)
        for kind_name, kind in inspect.getmembers(module, inspect.isclass)
        if kind_name.endswith("Service")
        for name, method in inspect.getmembers(kind, inspect.isfunction)
        if not name.startswith("_")
    }


def owned_methods():
    return {name: method for name, method in service_methods().items() if name not in OWNERLESS}


def owner_of(method):
    """The first parameter after `self`; None when there is none."""
    parameters = list(inspect.signature(method).parameters.values())[1:]
    return parameters[0] if parameters else None


def rest_of(method):
    """An argument for each required parameter after the first one, by name."""
    parameters = list(inspect.signature(method).parameters.values())[2:]
    required = [each for each in parameters if each.default is each.empty]
    return {each.name: _argument(each.annotation) for each in required}


def _argument(kind):
    return None if type(None) in get_args(kind) else ARGUMENTS[kind]


def listened(result):
    """Answers are asked for when they are to be heard, prompts when a responder is asked."""
    if isinstance(result, Watch):
        next(result.events)
    elif callable(result):
        result()


def ticket(owner):
    ids = dict.fromkeys(("run_id", "conversation_id", "message_id"), uuid4())
    return Ticket(owner=owner, attempt=1, **ids)


def identity(owner):
    return Identity(user_email=owner, issuer="tests")


def instances(service, found):
    """A service and those that it works with, by the names of their classes."""
    kind = type(service).__name__
    if kind.endswith("Service") and kind not in found:
        found[kind] = service
        for part in vars(service).values():
            instances(part, found)
    return found


@pytest.fixture(scope="module")
def working(parley):
    """The application's own services, by the names of their classes."""
    parley.copies.upkeep.start()
    found = {}
    for name in parley.services.__dataclass_fields__:
        instances(getattr(parley.services, name), found)
    instances(AccountService(parley.database), found)
    return found


@pytest.fixture
def statements(database):
    """What reaches PostgreSQL."""
    with statements_of(database) as seen:
        yield seen


def repository_kinds(kind=Repository):
    modules_of(repositories)
    return [each for sub in kind.__subclasses__() for each in (sub, *repository_kinds(sub))]


def test_every_method_of_a_service_asks_first_whose_rows_are_meant():
    assert service_methods().keys() >= OWNERLESS.keys()
    for name, method in owned_methods().items():
        owner = owner_of(method)
        assert owner, f"{name} takes no owner: give it one, or a reason in OWNERLESS"
        assert (owner.name, owner.annotation) in OWNERS.items(), name
        assert owner.default is owner.empty, f"{name} has a default owner"


def test_no_service_works_without_an_owner(working, database, statements):
    with database.operation() as ownerless, Session(database.engine) as plain:
        wrong = {
            str: NOT_OWNERS,
            Identity: (None, *(identity(it) for it in NOT_OWNERS)),
            OwnedSession: (None, ownerless, plain),
            Ticket: (None, *(ticket(it) for it in NOT_OWNERS)),
        }
        for name, method in owned_methods().items():
            kind, _, verb = name.partition(".")
            call, rest = getattr(working[kind], verb), rest_of(method)
            with pytest.raises(TypeError, match=owner_of(method).name):
                call(**rest)
            for owner in wrong[owner_of(method).annotation]:
                with pytest.raises((ParleyError, TypeError, AttributeError)):
                    listened(call(owner, **rest))
    assert statements == []


def test_with_an_owner_the_same_calls_reach_the_database(working, database, statements, email):
    """The control: what was refused was the missing owner."""
    with database.transaction(email) as session:
        right = {
            str: email,
            Identity: identity(email),
            OwnedSession: session,
            Ticket: ticket(email),
        }
        for name, method in owned_methods().items():
            kind, _, verb = name.partition(".")
            statements.clear()
            with suppress(ParleyError, DBAPIError):
                owner = right[owner_of(method).annotation]
                listened(getattr(working[kind], verb)(owner, **rest_of(method)))
            assert statements, name
            session.rollback()


def test_an_owner_is_asked_for_before_ids_are_looked_at(working, statements):
    conversations = working["ConversationService"]
    with pytest.raises(MissingOwnerError):
        conversations.read("", str(uuid4()), limit=5)
    for method in (conversations.trash, conversations.erase):
        with pytest.raises(MissingOwnerError):
            method("", str(uuid4()))
    assert statements == []


def test_there_is_no_session_of_nobody(database, statements):
    for nobody in NOT_OWNERS:
        for work in (database.statement, database.transaction):
            with pytest.raises(MissingOwnerError), work(nobody) as session:
                session.run("SELECT 1", {})
        with pytest.raises(MissingOwnerError):
            OwnedSession(database.engine, nobody)
    assert statements == []


def test_a_session_keeps_its_owner_and_a_repository_its_session(database, email):
    with database.statement(email) as session:
        with pytest.raises(AttributeError):
            session.owner = "somebody@example.com"
        for kind in repository_kinds():
            with pytest.raises(AttributeError):
                kind(session).session = Session(database.engine)


def test_no_verb_of_any_repository_takes_a_session_without_an_owner(database, statements):
    kinds = repository_kinds()
    assert {kind.__name__ for kind in kinds} >= {"ConversationRepository", "UserRepository"}
    verbs = {name for name in vars(Repository) if not name.startswith("_")} - {"session", "model"}
    assert verbs - {"owner_column"} == VERBS.keys()
    with database.operation() as ownerless, Session(database.engine) as plain:
        for kind in kinds:
            for session in (ownerless, plain, database.engine, None):
                for verb, arguments in VERBS.items():
                    with pytest.raises(MissingOwnerError):
                        getattr(kind(session), verb)(**arguments)
    assert statements == []


def test_a_session_without_an_owner_is_a_type_error_too():
    assert not issubclass(OperationSession, OwnedSession)
    assert not issubclass(OwnedSession, OperationSession)
    for kind in repository_kinds():
        assert get_type_hints(kind.__init__)["session"] is OwnedSession
    operations = (applied_migration, claim_expired, keep, all_questions, sees_all_users)
    operations += (active_conversations, count_purgeable, purge_trash, standing, forget)
    for function in operations:
        assert get_type_hints(function)["session"] is OperationSession
    assert get_type_hints(Database.statement)["owner"] is str


def test_a_session_without_an_owner_sees_no_row_of_any_user(app, settings, database, email):
    Client(app, email).ask("Where is Huế?")
    rows = Rows(settings.database_owner_url)
    with database.operation() as session:
        for table, _column in rows.owned_tables():
            assert session.run(f"SELECT count(*) FROM {table}", {})[0].count == 0
    stored = rows.of(email)
    assert all(stored[table] for table in ("users", "conversations", "messages", "query_logs"))
