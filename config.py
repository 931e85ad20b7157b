"""Where the settings of this deployment come from: `.env` beside this file, then the environment.

What can be set, and what each means, stands in `app/settings.py`. Importing this file acts on
nothing.
"""

from pathlib import Path

from dotenv import load_dotenv

from app.settings import Settings


def load() -> Settings:
    """The settings of this process; SettingsError names every fault at once."""
    load_dotenv(Path(__file__).with_name(".env"))
    return Settings.from_environ()
