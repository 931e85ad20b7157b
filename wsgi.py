"""The WSGI application: `gunicorn wsgi:app`."""

import sys

from app import create_app
from app.errors import SetupError
from config import load

try:
    app = create_app(load())
except SetupError as error:
    print(f"parley: {error}", file=sys.stderr)
    sys.exit(3)  # by this number gunicorn gives up, instead of trying the same with a new worker
