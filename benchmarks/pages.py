"""Measures response times of the pages with 1,000 brands and 100,000 campaigns, by requests to a web process.

`make bench-pages` starts embedded servers, fills them, and prints a Markdown table.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psycopg

from runtime.embedded import servers as embedded

BRANDS = 1_000
CAMPAIGNS_A_BRAND = 100
ROUNDS = 40

# Brands in four zones with daily and monthly budgets; one campaign in five is paused, one in ten has its own budget;
# each brand has 45 days of counters, each campaign today's; also a week of hours and a history of holds.
FILL = (
    """
    INSERT INTO brands (name, time_zone, currency)
    SELECT 'Brand ' || number, (ARRAY['America/New_York', 'Europe/Berlin', 'Asia/Kathmandu', 'UTC'])[number %% 4 + 1],
        (ARRAY['USD', 'EUR', 'USD', 'GBP'])[number %% 4 + 1]
    FROM generate_series(1, %(brands)s) AS number
    """,
    """
    INSERT INTO campaigns (brand_id, name, configured_status)
    SELECT id, 'Campaign ' || number, CASE WHEN number %% 5 = 0 THEN 'paused' ELSE 'enabled' END
    FROM brands CROSS JOIN generate_series(1, %(campaigns)s) AS number
    """,
    """
    INSERT INTO budgets (brand_id, campaign_id, period, limit_micros)
    SELECT id, NULL, period, 1000000 * (id %% 500) * CASE period WHEN 'daily' THEN 1 ELSE 25 END
    FROM brands CROSS JOIN unnest(ARRAY['daily', 'monthly']) AS period
    """,
    """
    INSERT INTO budgets (brand_id, campaign_id, period, limit_micros)
    SELECT brand_id, id, 'daily', 5000000 FROM campaigns WHERE id %% 10 = 0
    """,
    """
    INSERT INTO brand_days SELECT id, current_date + 1 - ago, 1000000 * (id * ago %% 400)
    FROM brands CROSS JOIN generate_series(0, 45) AS ago
    """,
    """
    INSERT INTO campaign_days SELECT brand_id, id, current_date + 1 - ago, 10000 * (id * ago %% 900)
    FROM campaigns CROSS JOIN generate_series(0, 2) AS ago
    """,
    """
    INSERT INTO brand_hours SELECT id, current_date - 7 * weeks, hour, 10000 * (id * hour %% 700)
    FROM brands CROSS JOIN generate_series(0, 7) AS weeks CROSS JOIN generate_series(0, 23) AS hour
    """,
)
PAGES = ("/", "/?sort=name&number=20", "/?q=99", "/brands/500", "/brands/500?days=31", "/campaigns/50000", "/changes")


@contextmanager
def filled_service() -> Iterator[str]:
    """Starts servers with filled tables and a web process; yields its address, and stops all at the end."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="spendgate-pages-")))
        home.chmod(0o755)
        servers = stack.enter_context(embedded.running(home))
        os.environ.update(DATABASE_URL=servers.database_url, REDIS_URL=servers.redis_url, LOG_LEVEL="ERROR")
        subprocess.run([sys.executable, "-m", "cli", "migrate"], check=True, stdout=subprocess.DEVNULL)
        with psycopg.connect(servers.database_url, autocommit=True) as connection:
            for statement in FILL:
                connection.execute(statement, {"brands": BRANDS, "campaigns": CAMPAIGNS_A_BRAND})
            connection.execute("ANALYZE")
        check = [sys.executable, "-m", "cli", "check-campaign-statuses", "--fix", "--json"]
        subprocess.run(check, check=True, stdout=subprocess.DEVNULL)
        with psycopg.connect(servers.database_url, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")
        os.environ.update(PORT="8765", SPENDGATE_OPEN_DASHBOARD="true")
        web = subprocess.Popen([sys.executable, "-m", "web"])
        stack.callback(web.wait)
        stack.callback(web.terminate)
        wait_for("http://127.0.0.1:8765/readyz")
        yield "http://127.0.0.1:8765"


def wait_for(address: str) -> None:
    """Waits, without a timeout, until the address answers."""
    while True:
        with suppress(OSError):
            seconds(address)
            return
        time.sleep(0.1)


def seconds(address: str) -> float:
    """Requests the address; returns the seconds until the whole response was read. Raises OSError if it fails."""
    started = time.perf_counter()
    with urllib.request.urlopen(address) as answer:  # noqa: S310 - our own process
        answer.read()
    return time.perf_counter() - started


def main() -> None:
    """Prints a table of the median and the 95th percentile of each page's response times, in milliseconds."""
    with filled_service() as base:
        for page in PAGES:
            seconds(base + page)
        taken: dict[str, list[float]] = {page: [] for page in PAGES}
        for _ in range(ROUNDS):
            for page in PAGES:
                taken[page].append(seconds(base + page) * 1000)
    print(f"{BRANDS:,} brands, {BRANDS * CAMPAIGNS_A_BRAND:,} campaigns, {ROUNDS} rounds\n")
    print("| page | median, ms | 95 %, ms |\n|---|---:|---:|")
    for page, times in taken.items():
        print(f"| `{page}` | {statistics.median(times):.0f} | {statistics.quantiles(times, n=20)[-1]:.0f} |")


if __name__ == "__main__":
    main()
