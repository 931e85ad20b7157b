"""The application with failpoints in it; FAILPOINTS names the folder of what is armed."""

import os

from app.streaming.runner import Runner
from tests.failpoints import install

REAP_SECONDS = 1.0
install(os.environ["FAILPOINTS"])
Runner.__init__.__kwdefaults__["reap_seconds"] = REAP_SECONDS

from wsgi import app  # noqa: E402, F401 - nothing may be made before the failpoints are there
