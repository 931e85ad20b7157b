"""Parley as it is served, but its answers say what the tests know."""

import os
import time
from itertools import count
from pathlib import Path

from app import Parley

BRIEF = "Be brief."


def answer(prompt):
    """Words without an end; when there is the file ENDING, ten more for who wants it brief."""
    ending = Path(os.environ["ENDING"])
    for number in count():
        if prompt.question == BRIEF and ending.exists():
            break
        time.sleep(0.02)
        yield f"{number} 字 "
    for number in range(10):
        time.sleep(0.02)
        yield f"and {number} "
    yield "end."


parley = Parley(answer)
app = parley.application()
