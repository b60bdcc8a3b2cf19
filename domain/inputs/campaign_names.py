"""How inputs name their campaign, and which campaign owns a name on a day."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date
from typing import NamedTuple
from zoneinfo import ZoneInfo

from domain.inputs.json_text import UnstorableValue
from domain.inputs.reasons import InvalidInput, Reason
from domain.inputs.values import MAX_ID, text_of
from domain.platforms import canonical_or_lower

CampaignKey = int | tuple[str, str] | tuple[str, str, str]
"""How upstream names a campaign: Spendgate's id, (platform, external_id), or (platform, external_id, account).

The platform has its canonical name.
"""


class KnownCampaign(NamedTuple):
    """A campaign with the brand facts needed to judge its spend."""

    campaign_id: int
    brand_id: int
    time_zone: ZoneInfo
    currency: str


class Claim(NamedTuple):
    """A campaign that owns an external id within one platform account on all days before `until_day`.

    `until_day` is date.max for the present owner. Days are local to `time_zone`, the zone of the campaign's brand.
    `campaign` is None if the sender may not see it.
    """

    platform_account_id: int
    until_day: date
    time_zone: ZoneInfo
    campaign: KnownCampaign | None


class Claims(NamedTuple):
    """All claims on one external id: by several campaigns, in one account or several, current or past."""

    claims: tuple[Claim, ...]

    def on(self, day_in: Callable[[ZoneInfo], date]) -> list[KnownCampaign]:
        """The campaigns that own the id on a day, in id order. `day_in` returns that day in a given time zone.

        In each account the claim that ends first after that day counts. A campaign found in several accounts is
        returned once; one that the sender may not see is left out.
        """
        first: dict[int, Claim] = {}
        for claim in sorted(self.claims, key=lambda claim: claim.until_day):
            if day_in(claim.time_zone) < claim.until_day:
                first.setdefault(claim.platform_account_id, claim)
        campaigns = {claim.campaign for claim in first.values() if claim.campaign}
        return sorted(campaigns, key=lambda campaign: campaign.campaign_id)

    def campaigns(self) -> set[KnownCampaign]:
        """All visible campaigns that own the id on some day."""
        return {claim.campaign for claim in self.claims if claim.campaign}


CampaignMatch = KnownCampaign | Claims
"""The result of looking up a CampaignKey: one campaign for every day, or claims that depend on day and account."""


def is_owned_now(match: CampaignMatch | None) -> bool:
    """Whether a campaign owns the looked-up name today. False for names owned only in the past, and for None."""
    return match is not None and (
        isinstance(match, KnownCampaign) or any(claim.until_day == date.max for claim in match.claims)
    )


def campaigns_of(matches: Iterable[CampaignMatch]) -> Iterator[KnownCampaign]:
    """Yields, match by match, the campaigns that the sender may see; a campaign of several matches several times."""
    for match in matches:
        if isinstance(match, KnownCampaign):
            yield match
        else:
            yield from match.campaigns()


def owner_on(
    campaign: CampaignKey, known: Mapping[CampaignKey, CampaignMatch], day_in: Callable[[ZoneInfo], date]
) -> KnownCampaign:
    """The campaign that owns the name `campaign` on a day; `day_in` returns that day in a given time zone.

    Raises InvalidInput if no campaign owns the name then, or several do.
    """
    match = known.get(campaign)
    if isinstance(match, KnownCampaign):
        return match
    owners = match.on(day_in) if match else []
    if len(owners) > 1:
        ids = ", ".join(str(owner.campaign_id) for owner in owners)
        detail = f"{named(campaign)} is campaigns {ids} in different accounts; send account or campaign_id too"
        raise InvalidInput(Reason.AMBIGUOUS_CAMPAIGN, detail)
    if not owners:
        raise InvalidInput(Reason.UNKNOWN_CAMPAIGN, f"no campaign {named(campaign)}")
    return owners[0]


def campaign_key_of(fields: Mapping[str, object]) -> CampaignKey:
    """The campaign key in the fields: `campaign_id` if given, else `platform`, `external_id` and optional `account`.

    An integer as external id or account becomes text. Raises InvalidInput for a missing or invalid key.
    """
    campaign_id = fields.get("campaign_id")
    if campaign_id is not None:
        if type(campaign_id) is int:
            return _within_bigint(campaign_id)
        if isinstance(campaign_id, UnstorableValue) and campaign_id.is_integer:
            raise _id_too_large()
        raise InvalidInput(Reason.MALFORMED, "campaign_id: expected an integer")
    platform, external_id = fields.get("platform"), fields.get("external_id")
    if isinstance(external_id, int) and not isinstance(external_id, bool):
        external_id = str(_within_bigint(external_id))
    account = fields.get("account")
    if isinstance(account, int) and not isinstance(account, bool):
        account = str(_within_bigint(account))
    sent_platform, name, account = (
        text_of("platform", platform), text_of("external_id", external_id), text_of("account", account)
    )  # fmt: skip
    known_as = canonical_or_lower(sent_platform) if sent_platform else ""
    if known_as and name:
        return (known_as, name, account) if account else (known_as, name)
    raise InvalidInput(Reason.MALFORMED, "campaign_id, or platform and external_id: missing")


def _within_bigint(number: int) -> int:
    if abs(number) > MAX_ID:
        raise _id_too_large()
    return number


def _id_too_large() -> InvalidInput:
    return InvalidInput(Reason.UNKNOWN_CAMPAIGN, "no campaign has an id beyond 64 bits")


def named(campaign: CampaignKey) -> str:
    """The campaign key as text for messages: `17`, `google_ads 123`, or with an account `google_ads 123 456`."""
    return str(campaign) if isinstance(campaign, int) else " ".join(campaign)
