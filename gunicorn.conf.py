"""How gunicorn serves Parley: `gunicorn wsgi:app -c gunicorn.conf.py`.

Never `max_requests`: it cuts streams. Never sync workers: one stream would occupy each.
"""

import gc
import os
import signal
import sys
import traceback
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any

from dotenv import load_dotenv

load_dotenv(Path(__file__).with_name(".env"))


def _count(name: str, default: int) -> int:
    text = os.environ.get(name) or str(default)
    if not (text.isdecimal() and int(text)):
        sys.exit(f"parley: {name} must be a whole number from 1 on.")
    return int(text)


worker_class = os.environ.get("WORKER_CLASS") or "gevent"
if worker_class not in {"gevent", "gthread"}:
    sys.exit(f"parley: WORKER_CLASS must be gevent or gthread, not {worker_class}.")
workers = _count("WEB_CONCURRENCY", os.cpu_count() or 1)
threads = _count("GUNICORN_THREADS", 64) if worker_class == "gthread" else 1
# Without it, one gthread worker accepts most connections and the others idle.
reuse_port = worker_class == "gthread"

bind = f"{os.environ.get('HOST') or '0.0.0.0'}:{_count('PORT', 8000)}"  # noqa: S104
timeout = 60
graceful_timeout = _count("GRACE_SECONDS", 20) + 10  # until answers are ended, and the rest
keepalive = 5
limit_request_line = 8190  # bytes; a search of 1,000 characters of any script may take more
CLIENT_SECONDS = 30
_FULL_COLLECTIONS = 200  # a twentieth of the usual: each holds up all streams for 50 ms and more
control_socket_disable = True
accesslog = None

# Whom to believe is for TRUSTED_PROXIES to say. By itself gunicorn believes whoever connects from
# this machine, or through a Unix socket: in the scheme, and even in the path.
forwarded_allow_ips = ""
secure_scheme_headers: dict[str, str] = {}
forwarder_headers = ""
proxy_protocol = False
header_map = "drop"

limit_request_fields = 64
limit_request_field_size = 8300  # the longest token, and "Authorization: Bearer" before it

_COUNTED = "PROMETHEUS_MULTIPROC_DIR"


def on_starting(_arbiter: Any) -> None:
    """Gives the workers a folder to count in, so that /metrics of any of them tells of all."""
    os.environ[_COUNTED] = mkdtemp(prefix="parley-metrics-")


def child_exit(_arbiter: Any, worker: Any) -> None:
    """Forgets the gauges of a worker that is gone; what it counted stays counted.

    prometheus_client would do it; but what the master imports, gevent can't patch in workers.
    """
    for gauges in Path(os.environ[_COUNTED]).glob(f"gauge_live*_{worker.pid}.db"):
        gauges.unlink(missing_ok=True)


def on_exit(_arbiter: Any) -> None:
    """Removes what was counted."""
    rmtree(os.environ[_COUNTED], ignore_errors=True)


def post_fork(_arbiter: Any, worker: Any) -> None:
    """Refuse in our own words, and let psycopg2 wait as greenlets do."""
    worker.handle_error = partial(_refuse, worker)
    if worker_class == "gevent":  # psycopg2's C code knows nothing of it
        from psycogreen.gevent import patch_psycopg

        patch_psycopg()


def pre_request(_worker: Any, request: Any) -> None:
    """Bounds each wait for a client that sends or reads nothing more."""
    request.unreader.sock.settimeout(CLIENT_SECONDS)


def post_worker_init(worker: Any) -> None:
    """Start the application's background threads: in the worker, after the fork.

    Asked to end, a worker serves what it is at; its answers must come to an end meanwhile.
    """
    parley = worker.wsgi.extensions["parley"]
    parley.start()
    end = signal.getsignal(signal.SIGTERM)

    def end_in_order(number: int, frame: Any) -> None:
        parley.end_soon()
        end(number, frame)

    signal.signal(signal.SIGTERM, end_in_order)
    gc.collect()
    gc.freeze()  # what the program itself is made of need not be looked through again
    gc.set_threshold(700, 10, _FULL_COLLECTIONS)


def worker_exit(_arbiter: Any, worker: Any) -> None:
    """Waits for answers that nobody watches, which no request of this worker is waiting for."""
    if application := getattr(worker, "wsgi", None):  # there is none where it could not start
        application.extensions["parley"].drain()


def _refuse(worker: Any, _request: Any, client: Any, _address: Any, error: Exception) -> None:
    """Answers what is no HTTP, or what broke, without a word of it.

    gunicorn quotes it, to the log and back to the client: it may be a token, or what was said.
    """
    from gunicorn.http.errors import (
        InvalidResponseHeader,
        InvalidResponseHeaderName,
        LimitRequestHeaders,
        LimitRequestLine,
        ParseException,
    )
    from gunicorn.util import write_error

    ours = {InvalidResponseHeader: 500, InvalidResponseHeaderName: 500}
    statuses = ours | {LimitRequestLine: 414, LimitRequestHeaders: 431, ParseException: 400}
    fitting = (status for kind, status in statuses.items() if isinstance(error, kind))
    status = HTTPStatus(next(fitting, 500))
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        worker.log.error("A request failed: %s in %s", type(error).__name__, _places(error))
    else:
        worker.log.warning("Refused a request: %s", type(error).__name__)
    with suppress(OSError):
        write_error(client, status.value, status.phrase, "")


def _places(error: Exception) -> list[str]:
    """Where an error came from: a host that is served so has no `app` of ours to ask."""
    frames = traceback.extract_tb(error.__traceback__)[-8:]
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
