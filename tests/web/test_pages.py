"""The pages and probes, asked of the real process."""

import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import httpx
import pytest

from tests.cli.shell import free_port, serving
from tests.world import UNIT, World, eventually

REDIS_AWAY = "redis://:hidden@127.0.0.1:1/0"
POSTGRES_AWAY = "postgresql://app:hidden@127.0.0.1:1/spendgate"

Browse = Callable[..., AbstractContextManager[httpx.Client]]


@pytest.fixture
def browse(database: str, tmp_path: Path) -> Browse:
    """Starts `python -m web` on the test's own database, and a browser for it."""

    @contextmanager
    def browsing(**env: str) -> Iterator[httpx.Client]:
        port = free_port()
        variables = {"DATABASE_URL": database, "PORT": str(port), **env}
        with (
            serving("-m", "web", output=tmp_path / "output", env=variables) as service,
            httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as client,
        ):
            eventually(lambda: _answers(client))
            yield client
            service.send(signal.SIGTERM)
            assert service.code() in {0, -signal.SIGTERM}
            assert "hidden" not in "".join(service.lines())
            assert all("event" in line for line in service.logged())

    return browsing


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/healthz").status_code == 200
    except httpx.TransportError:
        return False


def test_an_empty_service_says_what_to_do_first(browse: Browse) -> None:
    with browse() as client:
        page = client.get("/")
        assert page.status_code == 200
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert "spendgate brand create" in page.text
        assert "No campaigns yet" in page.text
        assert client.get("/readyz").json() == {"status": "ok"}


def test_the_page_shows_brands_campaigns_and_why_they_stopped(world: World, browse: Browse) -> None:
    brand = world.brand(name="Hudson Shoes", zone="Asia/Kathmandu", daily=5 * UNIT)
    stopped = world.campaign(brand, name="Brand search")
    world.spend(stopped, 5 * UNIT + 250_000)
    with browse() as client:
        for address in ("/", "/overview"):
            text = client.get(address).text
            assert "Hudson Shoes" in text
            assert "Asia/Kathmandu" in text
            assert "Brand search" in text
            assert "5.25 USD" in text
            assert "of 5.00" in text
            assert "the brand's daily budget is spent".replace("'", "&#39;") in text
            assert "0 campaigns active, 1 inactive" in text
            assert "spend" in text


def test_the_changing_part_is_fetched_without_the_page_around_it(world: World, browse: Browse) -> None:
    campaign = world.campaign(world.brand(), name="Brand search")
    with browse() as client:
        assert "<html" not in client.get("/overview").text
        assert "1 campaigns active" in client.get("/overview").text
        world.set_status(campaign, "paused")
        assert "paused by a person" in client.get("/overview").text


def test_names_with_html_are_shown_and_never_run(world: World, browse: Browse) -> None:
    brand = world.brand(name="<script>alert('brand')</script>")
    campaign = world.campaign(brand, name='<img src=x onerror="alert(1)">&amp;')
    world.set_status(campaign, "paused")
    with browse() as client:
        for address in ("/", "/overview"):
            text = client.get(address).text
            assert "<script>alert" not in text
            assert "<img" not in text
            assert text.count("&lt;script&gt;alert(&#39;brand&#39;)&lt;/script&gt;") == 2
            assert text.count("&lt;img src=x onerror=&#34;alert(1)&#34;&gt;&amp;amp;") == 2


def test_without_redis_it_is_alive_but_not_ready(browse: Browse) -> None:
    with browse(REDIS_URL=REDIS_AWAY) as client:
        assert client.get("/healthz").json() == {"status": "ok"}
        ready = client.get("/readyz")
        assert (ready.status_code, ready.json()) == (503, {"status": "unavailable", "redis": "ConnectionError"})


def test_without_postgres_it_is_alive_but_not_ready(browse: Browse) -> None:
    with browse(DATABASE_URL=POSTGRES_AWAY) as client:
        assert client.get("/healthz").status_code == 200
        ready = client.get("/readyz")
        assert (ready.status_code, ready.json()) == (503, {"status": "unavailable", "postgres": "OperationalError"})


def test_without_the_tables_it_is_not_ready(world: World, browse: Browse) -> None:
    with browse() as client:
        world.execute("ALTER TABLE campaigns RENAME TO hidden_campaigns")
        assert client.get("/readyz").status_code == 503
        world.execute("ALTER TABLE hidden_campaigns RENAME TO campaigns")
        assert client.get("/readyz").status_code == 200
