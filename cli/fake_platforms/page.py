"""The fake platform's own page: campaigns with status and spend, and buttons to pause and enable them there."""

from html import escape

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from cli.fake_platforms.state import ENABLED, PAUSED, FakeCampaign, FakePlatform
from domain.money import format_units

REFRESH_SECONDS = 1
MICROS_PER_CENT = 10_000

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Fake ad platform</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="{seconds}">
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }}
table {{ border-collapse: collapse; width: 100%; }}
th, td {{ text-align: left; padding: .4rem .8rem; border-bottom: 1px solid #ccc; }}
.amount {{ text-align: right; font-variant-numeric: tabular-nums; }}
.paused {{ color: #b00020; }}
</style></head>
<body><main><h1>Fake ad platform</h1>
<p>Spendgate's demo reads this platform and pauses campaigns here. A campaign spends only while it is enabled. Pause one
yourself, and Spendgate respects it.</p>
<table><thead><tr><th scope="col">Campaign</th><th scope="col">Status</th>
<th scope="col" class="amount">Spent today, {currency}</th><th scope="col">By hand</th></tr></thead>
<tbody>{rows}</tbody></table></main></body></html>
"""

ROW = """<tr><td>{name}</td><td class="{status}">{status}</td><td class="amount">{spent}</td>
<td><form method="post" action="/campaigns/{id}/{other}"><button aria-label="{verb} {name}">{verb}</button></form></td>
</tr>
"""


def routes(platform: FakePlatform) -> list[Route]:
    """The routes that show the page, and that its buttons post to."""

    async def show(_: Request) -> Response:
        platform.serve()
        with platform.lock:
            rows = "".join(_row(platform, campaign) for campaign in platform.campaigns.values())
        page = PAGE.format(seconds=REFRESH_SECONDS, currency=escape(platform.currency), rows=rows)
        return HTMLResponse(page, headers={"Cache-Control": "no-store"})

    async def change(request: Request) -> Response:
        platform.serve()
        campaign = platform.campaigns.get(request.path_params["id"])
        status = request.path_params["status"]
        if campaign is None or status not in {ENABLED, PAUSED}:
            return HTMLResponse("There is no such campaign or status.", 404)
        with platform.lock:
            campaign.status = status
        return RedirectResponse("/", 303)

    return [Route("/", show), Route("/campaigns/{id}/{status}", change, methods=["POST"])]


def _row(platform: FakePlatform, campaign: FakeCampaign) -> str:
    today = platform.today()
    micros = 0 if today is None else campaign.spend.get(today, 0)
    is_enabled = campaign.status == ENABLED
    return ROW.format(
        id=escape(campaign.id),
        name=escape(campaign.name or campaign.id),
        status=escape(campaign.status),
        spent=format_units(micros // MICROS_PER_CENT * MICROS_PER_CENT),
        other=PAUSED if is_enabled else ENABLED,
        verb="Pause" if is_enabled else "Enable",
    )
