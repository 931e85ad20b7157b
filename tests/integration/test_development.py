import socket
import subprocess

import pytest

from app.development import check_port, complete, keep_environ, secret_of
from app.errors import SettingsError


def test_what_is_not_set_is_chosen_and_what_is_set_stays(tmp_path):
    environ = {"PORT": "9000"}
    complete(environ, tmp_path)
    assert environ["PORT"] == "9000"
    assert environ["HOST"] == "127.0.0.1"
    assert len(environ["SERVICE_AUTH_SECRET"]) >= 32


def test_a_secret_from_a_file_is_not_replaced(tmp_path):
    environ = {"SERVICE_AUTH_SECRET_FILE": "/run/secrets/auth"}
    complete(environ, tmp_path)
    assert "SERVICE_AUTH_SECRET" not in environ


def test_commands_beside_the_server_find_what_was_chosen(tmp_path):
    path, secret = tmp_path / "data" / "environ", 'it\'s $HOME `id`; "x"'
    keep_environ({"SERVICE_AUTH_SECRET": secret, "REDIS_URL": "redis://r", "HOME": "/"}, path)
    assert path.stat().st_mode & 0o077 == 0
    shown = subprocess.run(
        ["sh", "-c", f'. {path} && printf %s "$REDIS_URL $SERVICE_AUTH_SECRET"'],
        env={},
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout == f"redis://r {secret}"
    assert "HOME=" not in path.read_text()


def test_the_secret_stays_for_the_day_and_only_the_user_may_read_it(tmp_path):
    path = tmp_path / "data" / "secret.json"
    today = secret_of("2026-11-21", path)
    assert secret_of("2026-11-21", path) == today
    assert path.stat().st_mode & 0o077 == 0
    assert secret_of("2026-11-22", path) != today


@pytest.mark.parametrize("port", ["http", "99999", ""])
def test_a_port_that_is_none_is_refused_by_name(port):
    with pytest.raises(SettingsError, match="PORT"):
        check_port("127.0.0.1", port)


def test_a_port_that_is_taken_is_refused_by_name():
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", 0))
        squatter.listen()
        with pytest.raises(SettingsError, match="try another: PORT="):
            check_port("127.0.0.1", str(squatter.getsockname()[1]))
