"""A responder that says more than most."""

import random
import re
import time
from pathlib import Path

BYTES, PIECE = 3_990_000, 1_000
_PROSE = Path(__file__).parents[2] / "docs"


def at_length(_prompt):
    """4 MB of prose within some ten seconds: sentences about this program, in no order."""
    prose = " ".join(path.read_text() for path in sorted(_PROSE.glob("*.md")))
    sentences = re.split(r"(?<=[.:;]) ", prose)
    chance, said, piece = random.Random(1), 0, ""
    while said < BYTES:
        piece += chance.choice(sentences) + " "
        if len(piece) >= PIECE:
            time.sleep(0.002)
            yield piece
            said, piece = said + len(piece.encode()), ""
