"""Connected accounts for tests: brands and campaigns in Spendgate that exist on the fake platform."""

from datetime import date
from typing import Any

from app.platforms import spend, statuses
from cli.fake_platforms.state import FakePlatform
from tests.world import World


class Connected:
    """A brand whose campaigns are in one connected account of the fake platform."""

    def __init__(
        self, world: World, fake: FakePlatform, credentials: str, mode: str = "full", platform: str = "google_ads"
    ) -> None:
        self.world, self.fake, self.platform = world, fake, platform
        self.brand = world.brand(zone=fake.time_zone, daily=100)
        self.account = int(
            world.one(
                "INSERT INTO platform_accounts (platform, account_id) VALUES (%s, %s) RETURNING id",
                *(platform, fake.account_id),
            )["id"]
        )
        self.bind(self.brand)
        world.execute(
            "INSERT INTO platform_connections (platform_account_id, mode, credentials) VALUES (%s, %s, %s)",
            *(self.account, mode, credentials),
        )

    def bind(self, brand: int) -> None:
        """Binds a brand to the account."""
        self.world.execute(
            "INSERT INTO platform_account_brands (brand_id, platform_account_id) VALUES (%s, %s)", brand, self.account
        )

    def campaign(self, external_id: str, status: str = "enabled", brand: int | None = None) -> int:
        """Creates a campaign here and on the platform; returns Spendgate's id."""
        self.fake.add(external_id, status)
        return self.world.campaign(
            brand or self.brand,
            external_id,
            platform=self.platform,
            external_id=external_id,
            account=self.fake.account_id,
        )

    def pull(self, *, is_due: bool = True) -> None:
        """Reads spend in this process, as if it were due."""
        if is_due:
            self.world.execute("UPDATE platform_connections SET next_read_at = NULL")
        spend.pull(self.account)

    def reconcile(self) -> None:
        """Reconciles the account in this process."""
        statuses.reconcile_account(self.account)

    def row(self, campaign: int) -> dict[str, Any]:
        """The campaign's row of platform_statuses."""
        return self.world.one("SELECT * FROM platform_statuses WHERE campaign_id = %s", campaign)

    def connection(self) -> dict[str, Any]:
        """The account's row of platform_connections."""
        return self.world.one("SELECT * FROM platform_connections")

    def there(self, external_id: str) -> str:
        """The campaign's status on the platform."""
        return self.fake.campaigns[external_id].status

    def set_there(self, external_id: str, status: str) -> None:
        """A person's change on the platform."""
        self.fake.campaigns[external_id].status = status

    def spent(self, campaign: int, day: date) -> int:
        """The micros that Spendgate counted for the campaign and day."""
        return self.world.spent(campaign, day)
