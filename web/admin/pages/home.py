"""The admin's first page: counts, held campaigns, rejected inputs that wait, and the latest edits."""

from functools import partial
from typing import Any, Final

from anyio.to_thread import run_sync
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import Response
from starlette_admin import CustomView
from starlette_admin.routing import route

from db.engine import snapshot
from db.models.catalog import Brand, Budget
from db.repository.ledger import rejected
from db.repository.reading import overview
from runtime import clock
from web.admin.fields import reasons
from web.admin.pages.history import seen_audit
from web.admin.rows import AuditRow

SHOWN: Final = 10
"""Rows in each list of this page; the dashboard and the admin's lists show more."""


class Home(CustomView):
    """The admin's first page."""

    menu_label = "Overview"
    icon = "fa fa-house"
    path = "/"
    route_name = "index"

    @route("")
    async def index(self, request: Request) -> Response:
        """Shows the counts, some held campaigns, rejected inputs by reason, and the latest edits."""
        assert self._admin is not None  # noqa: S101 - set when the view is added
        context = await run_sync(partial(_figures, request))
        return self._admin._template_response(request, "home.html", {"title": "Overview", **context})


def _figures(request: Request) -> dict[str, Any]:
    session: Session = request.state.session
    with snapshot() as connection:
        tally = overview.tally(connection)
        held = overview.campaigns(connection, clock.now(), status="inactive", limit=SHOWN)
        waiting = rejected.counts(connection)
    edits = seen_audit(request, select(AuditRow)).order_by(AuditRow.__table__.c.id.desc()).limit(SHOWN)
    return {
        "brands": session.scalar(select(func.count()).select_from(Brand)),
        "budgets": session.scalar(select(func.count()).select_from(Budget)),
        "active": tally.get("active", 0),
        "inactive": tally.get("inactive", 0),
        "held": [{**row, "why": reasons(row["holds"])} for row in held],
        "waiting": waiting,
        "edits": session.scalars(edits).all(),
    }
