"""Finds the campaign that owns an external id of an account on a day: ids are corrected and move to other brands."""

from collections.abc import Iterable, Iterator
from datetime import date

from app.platforms.protocol import DaySpend
from db.repository.platforms.spend import AccountCampaign


class Owners:
    """The owners of the external ids of one account, by day, as spend inputs that name the ids find them.

    A released id belongs to its former campaign before the day of its release. Another account may report spend of the
    same campaign. Before the day `adds_before`, the campaign had another external id in that account, so both accounts'
    figures are added up. Before the day `keeps_before`, it had this same id there, so that a day that this account's
    answer lacks keeps its stored total.
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
        """The id of the campaign that owns the external id on the day; None if no campaign of this account does."""
        claim = self._claim(external_id, day)
        return None if claim is None else claim.campaign_id

    def adds(self, campaign_id: int, day: date) -> bool:
        """Whether another account reports spend of the campaign on the day too, so that both spends are added."""
        return any(one.adds_before is not None and day < one.adds_before for one in self._of_day(campaign_id, day))

    def reports(self, campaign_id: int, day: date) -> bool:
        """Whether this account reports the campaign's spend on the day, so that it is zero if the answer lacks it."""
        claims = list(self._of_day(campaign_id, day))
        return bool(claims) and all(one.keeps_before is None or day >= one.keeps_before for one in claims)

    def _claim(self, external_id: str, day: date) -> AccountCampaign | None:
        claims = self._claims.get(external_id, ())
        return next((one for one in claims if one.until_day is None or day < one.until_day), None)

    def _of_day(self, campaign_id: int, day: date) -> Iterator[AccountCampaign]:
        for name in self._names.get(campaign_id, ()):
            claim = self._claim(name, day)
            if claim is not None and claim.campaign_id == campaign_id:
                yield claim

    def spend(self, rows: Iterable[DaySpend]) -> Iterator[tuple[int, date, list[DaySpend]]]:
        """The rows by owner: (campaign id, day, rows); several rows where the campaign's external id was corrected.

        Leaves out rows without an owner in this account.
        """
        found: dict[tuple[int, date], list[DaySpend]] = {}
        for row in rows:
            campaign_id = self.owner(row.external_id, row.day)
            if campaign_id is not None:
                found.setdefault((campaign_id, row.day), []).append(row)
        return ((campaign_id, day, some) for (campaign_id, day), some in found.items())
