"""The ad platforms, each by one canonical name: aliases are resolved wherever a name comes in."""

import re
from collections.abc import Mapping
from typing import Final, NamedTuple


class Platform(NamedTuple):
    """A platform: the name that pages print, and the other spellings that mean it, without case, spaces and signs."""

    label: str
    aliases: tuple[str, ...]


PLATFORMS: Final[Mapping[str, Platform]] = {
    "google_ads": Platform("Google Ads", ("google", "adwords", "googleadwords", "gads", "googleadsapi", "youtube")),
    "microsoft_ads": Platform(
        "Microsoft Advertising", ("microsoft", "microsoftadvertising", "bing", "bingads", "msads", "msft", "msn")
    ),
    "meta_ads": Platform(
        "Meta", ("meta", "facebook", "facebookads", "fb", "fbads", "instagram", "instagramads", "metafacebook")
    ),
    "tiktok_ads": Platform("TikTok", ("tiktok", "tiktokforbusiness", "tiktokadsmanager", "bytedance")),
    "linkedin_ads": Platform("LinkedIn", ("linkedin", "linkedincampaignmanager", "li")),
    "amazon_ads": Platform(
        "Amazon Ads", ("amazon", "amazonadvertising", "amazonsponsoredproducts", "amazonsponsored", "amazonads")
    ),
    "amazon_dsp": Platform("Amazon DSP", ("amazondsp", "amazondemandsideplatform")),
    "pinterest_ads": Platform("Pinterest", ("pinterest", "pin")),
    "snapchat_ads": Platform("Snapchat", ("snapchat", "snap", "snapads", "snapchatmarketing")),
    "reddit_ads": Platform("Reddit", ("reddit",)),
    "x_ads": Platform("X", ("x", "twitter", "twitterads", "xcorp", "xtwitter")),
    "apple_search_ads": Platform(
        "Apple Ads", ("apple", "appleads", "applesearch", "applesearchads", "asa", "searchadsapple", "itunes")
    ),
    "dv360": Platform(
        "Display & Video 360",
        (
            "displayvideo360",
            "displayandvideo360",
            "googledisplayvideo360",
            "dbm",
            "doubleclickbidmanager",
            "googledv360",
        ),
    ),
    "cm360": Platform(
        "Campaign Manager 360",
        ("campaignmanager360", "campaignmanager", "dcm", "doubleclickcampaignmanager", "googlecm360", "dfa"),
    ),
    "the_trade_desk": Platform("The Trade Desk", ("thetradedesk", "tradedesk", "ttd")),
    "criteo": Platform("Criteo", ("criteoads",)),
    "taboola": Platform("Taboola", ("taboolaads", "taboolabackstage")),
    "outbrain": Platform("Outbrain", ("outbrainads", "outbrainamplify")),
    "appsflyer": Platform("AppsFlyer", ("appsflyercost", "appsflyerxpend", "appsflyer")),
    "yahoo_japan": Platform(
        "Yahoo! JAPAN Ads", ("yahoojapan", "yahoojapanads", "yahoojp", "lineyahoo", "lyads", "yahooads", "ヤフー")
    ),
    "viant": Platform("Viant", ("viantdsp", "adelphic")),
    "quora_ads": Platform("Quora", ("quora",)),
    "spotify_ads": Platform("Spotify", ("spotify", "spotifyadstudio")),
}
"""By canonical name. `twitter_ads` of earlier versions is `x_ads`, `facebook_ads` is `meta_ads`."""

_SIGNS: Final = re.compile(r"[\W_]+")


def _bare(text: str) -> str:
    return _SIGNS.sub("", text.casefold())


def _spellings() -> dict[str, str]:
    found: dict[str, str] = {}
    for name, platform in PLATFORMS.items():
        for spelling in (name, platform.label, *platform.aliases):
            found[_bare(spelling)] = name
    return found


_BY_SPELLING: Final = _spellings()


def canonical(text: str) -> str | None:
    """The canonical name of the platform that a text names in any spelling; None for one that is not known here."""
    bare = _bare(text)
    return _BY_SPELLING.get(bare) or _BY_SPELLING.get(bare.removesuffix("ads"))


def known(text: str) -> str:
    """The canonical name, or the text itself in lower case for a platform that is not known here."""
    return canonical(text) or text.strip().lower()


def label(name: str) -> str:
    """The name that pages print for a canonical name; the name itself for a platform that is not known here."""
    platform = PLATFORMS.get(name)
    return name if platform is None else platform.label
