"""What README.md tells people to paste."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"


def blocks(language=""):
    """The fenced blocks of README.md that are written in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README.read_text(), re.M | re.S)


def example():
    """The Python with which a host mounts Parley."""
    (source,) = blocks("python")
    return source
