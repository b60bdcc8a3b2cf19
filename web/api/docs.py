"""`/docs`: the API, to be read and tried out."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse

from web.dashboard.pages import templates

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)


@router.get("/docs")
def docs(request: Request) -> Response:
    """Swagger UI over /openapi.json."""
    return templates.TemplateResponse(request, "docs.html")
