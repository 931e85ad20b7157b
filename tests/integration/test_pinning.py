"""Who an address belongs to: the first subject, until an operator says otherwise; and how soon a
deactivated user is out."""

import time
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import httpx2
import pytest
from psycopg2.errors import UniqueViolation
from psycopg2.extensions import cursor

from app.errors import IdentityError
from app.services.identity import Identity
from app.services.users import UserService
from tests.api.routes import ROUTES, Place
from tests.client import Client, at_once
from tests.driver import cursors, statements_of
from tests.signing import claims, signed

DOOR = "/conversations"
MANY = 16


@pytest.fixture
def subject():
    """One that was never here before."""
    return f"subject {uuid4().hex}"


@pytest.fixture
def is_in(database):
    """Whether somebody is let in by a worker that never saw anybody."""

    def look(email, subject=None, issuer="tests", users=None):
        identity = Identity(user_email=email, issuer=issuer, subject=subject)
        try:
            (users or UserService(database)).see(identity)
        except IdentityError:
            return False
        return True

    return look


@pytest.fixture
def pinned(rows):
    """What an address is pinned to."""

    def look(email):
        (row,) = rows.run("SELECT issuer, subject FROM users WHERE email = :email", email=email)
        return tuple(row)

    return look


@pytest.fixture
def release(parley):
    def release(email):
        with parley.operations.accounts() as accounts:
            accounts.release_subject(email)

    return release


@pytest.fixture
def deactivate(parley):
    def deactivate(email):
        with parley.operations.accounts() as accounts:
            accounts.deactivate(email)

    return deactivate


def test_an_address_belongs_to_its_first_subject(is_in, pinned, email, subject):
    assert is_in(email, subject)
    for another, issuer in (
        (f"{subject}2", "tests"),
        (subject.upper(), "tests"),
        (None, "tests"),
        (subject, "elsewhere"),
        (None, "elsewhere"),
    ):
        assert not is_in(email, another, issuer), (another, issuer)
    assert is_in(email, subject)
    assert pinned(email) == ("tests", subject)


def test_a_subject_that_comes_later_pins_the_address_then(is_in, pinned, email, subject):
    assert is_in(email)
    assert is_in(email, issuer="elsewhere")
    assert pinned(email) == (None, None)
    assert is_in(email, subject, "elsewhere")
    assert not is_in(email)
    assert not is_in(email, subject)
    assert pinned(email) == ("elsewhere", subject)


def test_a_subject_with_a_new_address_waits_until_the_old_one_is_released(
    is_in, pinned, release, email, subject
):
    old = f"old.{email}"
    assert is_in(old, subject)
    assert not is_in(email, subject)
    assert is_in(email)
    assert not is_in(email, subject)
    release(old)
    assert is_in(email, subject)
    assert not is_in(old, subject)
    assert is_in(old, f"{subject}2")
    assert pinned(email) == ("tests", subject)


def test_of_subjects_that_race_for_an_address_one_is_in_and_stays(is_in, pinned, email, subject):
    for n in range(4):
        address, subjects = f"{n}.{email}", [f"{subject} {n} {m}" for m in range(MANY)]
        came_in = at_once(lambda subject, address=address: is_in(address, subject), subjects)
        assert came_in.count(True) == 1
        assert [is_in(address, subject) for subject in subjects] == came_in
        assert pinned(address) == ("tests", subjects[came_in.index(True)])


def test_of_addresses_that_race_for_a_subject_one_is_in_and_stays(is_in, email, subject):
    addresses = [f"{n}.{email}" for n in range(MANY)]
    came_in = at_once(lambda address: is_in(address, subject), addresses)
    assert came_in.count(True) == 1
    assert [is_in(address, subject) for address in addresses] == came_in


def test_the_first_requests_of_one_user_are_all_let_in_at_once(is_in, email, subject):
    for n in range(10):
        assert all(at_once(lambda _, n=n: is_in(f"{n}.{email}", f"{subject} {n}"), range(8)))


def test_a_request_that_meets_its_own_subject_before_its_address_is_let_in(
    make_app, rows, is_in, email, subject
):
    """As two first requests at once may: the row's address is in its place a moment later."""
    parley = make_app().extensions["parley"]
    move = "UPDATE users SET email = :email WHERE subject = :subject"
    collisions = []

    class Colliding(cursor):
        def execute(self, text, values=None):
            try:
                return super().execute(text, values)
            except UniqueViolation as error:
                collisions.append(error.diag.constraint_name)
                rows.run(move, email=email, subject=subject)
                raise

    assert is_in(f"elsewhere.{email}", subject)
    with cursors(parley.database.engine, Colliding):
        assert is_in(email, subject, users=parley.services.users)
    assert collisions == ["uq_users_issuer_subject"]


def test_what_is_remembered_of_one_subject_lets_no_other_in(database, is_in, email, subject):
    users = UserService(database)
    assert is_in(email, subject, users=users)
    for another, issuer in ((f"{subject}2", "tests"), (None, "tests"), (subject, "elsewhere")):
        assert not is_in(email, another, issuer, users=users)
        assert is_in(email, subject, users=users)


def test_all_who_are_refused_get_the_same_answer(make_app, is_in, deactivate, email, subject):
    shut = f"shut.{email}"
    assert is_in(email, subject)
    assert is_in(shut)
    deactivate(shut)
    http = make_app().test_client()
    answers = [
        http.get(DOOR, headers={"Authorization": f"Bearer {token}", "X-Request-Id": "the-same"})
        for token in (
            "foul",
            signed(claims(exp=1)),
            signed(claims(email=email, sub="another")),
            signed(claims(email=email)),
            signed(claims(email=f"new.{email}", sub=subject)),
            signed(claims(email=shut)),
            signed(claims(email=shut, sub="any")),
        )
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert len({(answer.data, str(answer.headers)) for answer in answers}) == 1


def test_the_log_says_in_one_word_why_somebody_was_refused(
    is_in, deactivate, email, subject, caplog
):
    shut, theirs = f"shut.{email}", f"{subject}2"
    assert is_in(email, subject)
    assert is_in(shut, theirs)
    deactivate(shut)
    for address, said in (
        (email, "another"),
        (email, None),
        (f"new.{email}", subject),
        (shut, theirs),
        (shut, "another"),
    ):
        assert not is_in(address, said)
    logged = [record.msg for record in caplog.records if record.msg["event"] == "user_refused"]
    assert [entry["reason"] for entry in logged] == [
        "another_subject",
        "another_subject",
        "another_address",
        "deactivated",
        "deactivated",
    ]
    known = {"event", "reason", "level", "logger", "timestamp"}
    assert [entry.keys() - known for entry in logged] == [set()] * len(logged)


def test_fifty_requests_look_at_the_users_row_once(make_app, email):
    app = make_app()
    token = signed(claims(email=email, sub=email))
    http = app.test_client()
    with statements_of(app.extensions["parley"].database) as sent:
        for _ in range(50):
            assert http.get(DOOR, headers={"Authorization": f"Bearer {token}"}).status_code == 200
    assert len([statement for statement in sent if "users" in statement]) == 1


def test_the_token_of_a_deactivated_user_changes_nothing(database, rows, deactivate, email):
    def come(**said):
        UserService(database).see(Identity(user_email=email, issuer="tests", **said))

    come(name="Ada", dept="Sales")
    deactivate(email)
    look = "SELECT to_jsonb(u)::text FROM users u WHERE email = :email"
    before = rows.run(look, email=email)
    with pytest.raises(IdentityError):
        come(name="Grace", dept="Research", subject="new")
    assert rows.run(look, email=email) == before


def test_a_deactivated_user_is_out_of_all_workers_within_five_seconds(
    app, server, parley, deactivate, email
):
    client = Client(app, email)
    headers = {"Authorization": f"Bearer {client.token}"}
    place = dict.fromkeys(Place.__dataclass_fields__, client.create("Hello")["id"])

    def knock(_=None):
        return httpx2.get(f"{server.url}{DOOR}", headers=headers, timeout=10).status_code

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(knock, range(24))) == {200}
        deactivate(email)
        until = time.monotonic() + 5
        while time.monotonic() < until:  # a look that refreshed itself would never end
            assert set(pool.map(knock, range(4))) <= {200, 401}
        assert set(pool.map(knock, range(24))) == {401}
    calls = [(method, call) for (method, _), some in ROUTES.items() for call in some]
    for method, call in calls:
        url = server.url + call.address.format_map(place)
        answer = httpx2.request(method, url, headers=headers, json=call.body)
        assert answer.status_code == 401, (method, url)
    with parley.operations.accounts() as accounts:
        accounts.activate(email)
    assert knock() == 200
