"""The probes and the first page of a real web process."""

from tests.web.conftest import Browse
from tests.world import UNIT, World

REDIS_AWAY = "redis://:hidden@127.0.0.1:1/0"
POSTGRES_AWAY = "postgresql://app:hidden@127.0.0.1:1/spendgate"


def test_the_page_shows_brands_and_why_their_campaigns_stopped(world: World, browse: Browse) -> None:
    world.spend(world.campaign(world.brand(name="Hudson Shoes", daily=5 * UNIT), name="Brand search"), 5 * UNIT)
    with browse() as client:
        answer = client.get("/")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
        for words in ("Hudson Shoes", "Brand search", "the brand&#39;s daily budget is spent", "$5.00", "used up"):
            assert words in answer.text
        assert client.get("/readyz").json() == {"status": "ok"}


def test_pages_show_the_progress_of_enforcing_a_large_brand(world: World, browse: Browse) -> None:
    brand = world.brand()
    campaign = world.campaign(brand)
    world.execute(
        "INSERT INTO pending_enforcements (brand_id, cause, requested_at, done, total, paused)"
        " VALUES (%s, 'spend', now(), 120000, 300000, 119000)",
        brand,
    )
    with browse() as client:
        for address in ("/", f"/brands/{brand}", f"/campaigns/{campaign}"):
            assert "pausing campaigns, 120,000 of 300,000 done" in client.get(address).text
        world.execute("DELETE FROM pending_enforcements")
        assert "of 300,000 done" not in client.get("/").text


def test_content_security_policy_allows_only_own_files_and_no_inline_script(browse: Browse) -> None:
    with browse() as client:
        for address in ("/", "/changes"):
            headers = client.get(address).headers
            assert "script-src 'self';" in headers["content-security-policy"]
            assert headers["cache-control"] == "no-store"
            assert headers["x-content-type-options"] == "nosniff"


def test_without_redis_the_process_is_alive_but_not_ready(browse: Browse) -> None:
    with browse(REDIS_URL=REDIS_AWAY) as client:
        assert client.get("/healthz").json() == {"status": "ok"}
        ready = client.get("/readyz")
        assert (ready.status_code, ready.json()) == (503, {"status": "unavailable", "redis": "ConnectionError"})
        assert client.get("/", headers={"Accept": "text/html"}).status_code == 200


def test_without_postgres_the_process_is_alive_but_not_ready_and_pages_explain_it(browse: Browse) -> None:
    with browse(DATABASE_URL=POSTGRES_AWAY) as client:
        assert client.get("/healthz").status_code == 200
        ready = client.get("/readyz")
        assert (ready.status_code, ready.json()) == (503, {"status": "unavailable", "postgres": "OperationalError"})
        page = client.get("/", headers={"Accept": "text/html"})
        assert (page.status_code, page.headers["retry-after"]) == (503, "5")
        assert "unreachable or busy" in page.text
        assert "<html" in page.text


def test_without_tables_the_process_is_not_ready(world: World, browse: Browse) -> None:
    with browse() as client:
        world.execute("ALTER TABLE campaigns RENAME TO hidden_campaigns")
        assert client.get("/readyz").status_code == 503
        world.execute("ALTER TABLE hidden_campaigns RENAME TO campaigns")
        assert client.get("/readyz").status_code == 200


def test_bad_setting_ends_the_web_process_with_one_line(database: str) -> None:
    from tests.cli.shell import run  # noqa: PLC0415 - beside its one use

    shown = run("-m", "web", env={"SPENDGATE_SECRET_KEY": "short"})
    assert (shown.code, shown.err.count("\n")) == (2, 1)
    assert shown.err.startswith("SPENDGATE_SECRET_KEY: ")
