"""What is served while streams are measured: a responder, and the least application that streams.

A token is the time at which it is due, by the clock that all processes of a machine share.
"""

import json
import time
from collections.abc import Iterator

from flask import Flask, Response, request

from app.responders.base import Prompt

from .stand_in import stand_in

TOKENS, EACH = 50, 0.1  # seconds


def tokens(prompt: Prompt) -> Iterator[str]:
    """TOKENS of them, one EACH so often, from the moment on that is asked for."""
    began = max(float(prompt.question), time.monotonic())
    for number in range(1, TOKENS + 1):
        due = began + number * EACH
        time.sleep(max(0.0, due - time.monotonic()))
        yield f"{due:.6f} "


def bare() -> Flask:
    """The same tokens as server-sent events, by a generator and nothing else."""
    app = Flask(__name__)
    stand_in(app)

    @app.post("/chat")
    def chat() -> Response:
        prompt = Prompt(question=request.get_json()["message"], user_email="")
        return Response(map(_frame, tokens(prompt)), content_type="text/event-stream")

    @app.get("/livez")
    def livez() -> dict[str, str]:
        return {"status": "ok"}

    return app


def _frame(text: str) -> str:
    return f"event: delta\ndata: {json.dumps({'text': text})}\n\n"
