"""Static files with Cache-Control: cached for a year if the address has the hash of the content."""

from pathlib import Path
from typing import Final

from fastapi.staticfiles import StaticFiles
from starlette.responses import Response
from starlette.types import Scope

from web.dashboard.pages import asset

IMMUTABLE: Final = "public, max-age=31536000, immutable"
REVALIDATE: Final = "no-cache"
"""Browsers cache the file, but revalidate it by its entity tag each time."""


class CachedFiles(StaticFiles):
    """Serves the files of a folder with Cache-Control."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file, or 304 if the browser has it already. Raises HTTPException (404) if there is no such file."""
        response = await super().get_response(path, scope)
        mark = scope["query_string"].decode("latin-1")
        is_marked = bool(mark) and asset(Path(path).as_posix()).endswith(f"?{mark}")
        response.headers["Cache-Control"] = IMMUTABLE if is_marked else REVALIDATE
        return response
