"""`/docs`: the API's documentation, with forms to try requests."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse

from web.dashboard.pages import templates

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)


@router.get("/docs")
def docs(request: Request) -> Response:
    """A page that shows /openapi.json in Swagger UI."""
    return templates.TemplateResponse(request, "docs.html")
