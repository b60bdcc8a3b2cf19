"""The application in the test's process, made once for equal settings: it keeps no state about the database."""

from collections import deque

from fastapi import FastAPI
from sqlalchemy import Engine

from db.engine import engine
from runtime.settings import Settings, settings

_made: deque[tuple[Settings, Engine, FastAPI]] = deque(maxlen=4)


def app_of_settings() -> FastAPI:
    """The application for the present settings and their engine. Making one takes as long as ten tests."""
    from web.app import create_app  # noqa: PLC0415 - after the environment is set

    read, connections = settings(), engine()
    for known, used, app in _made:
        if known == read and used is connections:
            return app
    app = create_app()
    _made.append((read, connections, app))
    return app
