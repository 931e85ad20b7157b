"""How gunicorn serves Parley: `gunicorn wsgi:app -c gunicorn.conf.py`.

Never `max_requests`: it cuts streams. Never sync workers: one stream would occupy each.
"""

import os
from pathlib import Path
from typing import Any

from dotenv import load_dotenv

load_dotenv(Path(__file__).with_name(".env"))

worker_class = os.environ.get("WORKER_CLASS") or "gevent"
if worker_class not in {"gevent", "gthread"}:
    raise ValueError(f"WORKER_CLASS must be gevent or gthread, not {worker_class}.")
workers = int(os.environ.get("WEB_CONCURRENCY") or os.cpu_count() or 1)
threads = int(os.environ.get("GUNICORN_THREADS") or 64) if worker_class == "gthread" else 1
# Without it, one gthread worker accepts most connections and the others idle.
reuse_port = worker_class == "gthread"

bind = f"{os.environ.get('HOST') or '0.0.0.0'}:{os.environ.get('PORT') or 8000}"  # noqa: S104
timeout = 60
graceful_timeout = 30
keepalive = 5
control_socket_disable = True
accesslog = None


def post_fork(_arbiter: Any, _worker: Any) -> None:
    """Let psycopg2 wait as greenlets do: its C code knows nothing of gevent."""
    if worker_class == "gevent":
        from psycogreen.gevent import patch_psycopg

        patch_psycopg()


def post_worker_init(worker: Any) -> None:
    """Start the application's background threads: in the worker, after the fork."""
    worker.wsgi.extensions["parley"].start()
