"""What README.md tells people to paste."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"


def blocks(language="", document=README):
    """The fenced blocks of a document that are written in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", document.read_text(), re.M | re.S)


def example():
    """The Python with which a host mounts Parley."""
    (source,) = blocks("python")
    return source
