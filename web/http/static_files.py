"""Static files, which browsers keep: for ever where the address has the mark of their content."""

from pathlib import Path
from typing import Final

from fastapi.staticfiles import StaticFiles
from starlette.responses import Response
from starlette.types import Scope

from web.dashboard.pages import asset

FOR_EVER: Final = "public, max-age=31536000, immutable"
ASK_FIRST: Final = "no-cache"
"""Kept too, but asked about by its entity tag each time."""


class KeptFiles(StaticFiles):
    """Files of a folder with their Cache-Control."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file, or 304 where the browser has it."""
        response = await super().get_response(path, scope)
        mark = scope["query_string"].decode("latin-1")
        is_marked = bool(mark) and asset(Path(path).as_posix()).endswith(f"?{mark}")
        response.headers["Cache-Control"] = FOR_EVER if is_marked else ASK_FIRST
        return response
