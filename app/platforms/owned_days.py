"""Which campaign owns an external id of an account on a day: ids are corrected, and move to other brands."""

from collections.abc import Iterable, Iterator
from datetime import date

from app.platforms.protocol import DaySpend
from db.repository.platforms.spend import AccountCampaign


class OwnedDays:
    """The owners of the external ids of one account, by day, as spend inputs that name the ids find them.

    A released id belongs to its former campaign before the day of its release. A campaign that came from another
    account owns its id here from the day on which it left that one.
    """

    def __init__(self, owners: Iterable[AccountCampaign]) -> None:
        """Takes the present and former owners, in any order."""
        self._claims: dict[str, list[AccountCampaign]] = {}
        self._names: dict[int, set[str]] = {}
        for one in sorted(owners, key=lambda one: one.until_day or date.max):
            self._claims.setdefault(one.external_id, []).append(one)
            self._names.setdefault(one.campaign_id, set()).add(one.external_id)

    @property
    def campaign_ids(self) -> list[int]:
        """All campaigns that own an id on some day."""
        return list(self._names)

    def owner(self, external_id: str, day: date) -> int | None:
        """The campaign whose spend the id's spend on the day is; None if none of this account."""
        for claim in self._claims.get(external_id, ()):
            if claim.until_day is None or day < claim.until_day:
                return claim.campaign_id if claim.from_day is None or day >= claim.from_day else None
        return None

    def owns(self, campaign_id: int, day: date) -> bool:
        """Whether the campaign owns an id of this account on the day, so that the account tells its spend."""
        return any(self.owner(name, day) == campaign_id for name in self._names.get(campaign_id, ()))

    def spend(self, rows: Iterable[DaySpend]) -> Iterator[tuple[int, date, list[DaySpend]]]:
        """The rows of each campaign and day; several where the campaign's id was corrected."""
        found: dict[tuple[int, date], list[DaySpend]] = {}
        for row in rows:
            campaign_id = self.owner(row.external_id, row.day)
            if campaign_id is not None:
                found.setdefault((campaign_id, row.day), []).append(row)
        return ((campaign_id, day, some) for (campaign_id, day), some in found.items())
