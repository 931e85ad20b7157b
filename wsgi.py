"""The WSGI application: `gunicorn wsgi:app`."""

from app import create_app
from config import load

app = create_app(load())
