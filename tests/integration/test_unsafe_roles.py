"""A database role that row-level security does not bind is refused at the start."""

import json
from contextlib import closing
from dataclasses import replace

import psycopg2
import pytest
from sqlalchemy.engine import make_url

from app import Parley
from app.embedded import servers
from app.errors import UnsafeRoleError


def test_the_tables_owner_is_no_role_to_serve_with(settings, app):
    with pytest.raises(UnsafeRoleError, match=r"parley_owner is .*the tables' owner"):
        Parley(settings=replace(settings, database_url=settings.database_owner_url)).application()


@pytest.mark.parametrize(
    ("role", "rights", "fault"),
    [
        ("mighty", "SUPERUSER", "a superuser"),
        ("sly", "NOSUPERUSER BYPASSRLS IN ROLE parley_app", "BYPASSRLS"),
        ("kin", "NOSUPERUSER IN ROLE parley_owner", "a member of the tables' owner"),
    ],
)
def test_a_role_that_could_walk_around_the_wall_is_refused_by_name(
    cluster, settings, role, rights, fault
):
    with closing(psycopg2.connect(cluster)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(f"CREATE ROLE {role} LOGIN {rights} PASSWORD 'secret'")
    url = make_url(cluster).set(drivername="postgresql+psycopg2", username=role, password="secret")
    text = url.render_as_string(hide_password=False)
    with pytest.raises(UnsafeRoleError, match=f"{role} is .*{fault}"):
        Parley(settings=replace(settings, database_url=text)).application()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A superuser's URL of a PostgreSQL of our own, with a table that gives away its owner."""
    data = tmp_path_factory.mktemp("cluster")
    with servers(data, {"REDIS_URL": "redis://127.0.0.1:1"}, durable=False) as urls:
        with closing(psycopg2.connect(urls["DATABASE_OWNER_URL"])) as connection:
            connection.autocommit = True
            connection.cursor().execute("CREATE TABLE conversations (id int)")
        password = json.loads((data / "passwords.json").read_text())["postgres"]
        admin = make_url(urls["DATABASE_OWNER_URL"]).set(username="postgres", password=password)
        yield admin.render_as_string(hide_password=False)
