"""Ad platforms: one canonical name each, and the aliases that are translated to it wherever a name comes in."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, NamedTuple


class Platform(NamedTuple):
    """An ad platform. `label`: its name on pages. `aliases`: other names, in lower case without spaces and signs."""

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
"""The platforms by canonical name. Earlier versions said `twitter_ads` for `x_ads`, `facebook_ads` for `meta_ads`."""

_SIGNS: Final = re.compile(r"[\W_]+")


def _bare(text: str) -> str:
    return _SIGNS.sub("", text.casefold())


def _spellings() -> dict[str, str]:
    names: dict[str, str] = {}
    for name, platform in PLATFORMS.items():
        for spelling in (name, platform.label, *platform.aliases):
            names[_bare(spelling)] = name
    return names


_BY_SPELLING: Final = _spellings()


def bare_spellings() -> Mapping[str, str]:
    """The canonical name of each known spelling, which is in lower case without spaces and signs.

    Has each spelling also with `ads` added.
    """
    with_ads = {f"{spelling}ads": name for spelling, name in _BY_SPELLING.items()}
    return with_ads | _BY_SPELLING


def canonical(text: str) -> str | None:
    """The canonical name of a platform; None for an unknown one. Ignores case, spaces, signs and a final `ads`."""
    bare = _bare(text)
    return _BY_SPELLING.get(bare) or _BY_SPELLING.get(bare.removesuffix("ads"))


@lru_cache(maxsize=1_024)
def canonical_or_lower(text: str) -> str:
    """The canonical name of a platform; for an unknown one, the text in lower case without outer spaces.

    Names are stored and looked up in this form. Cached, since each spend event may carry a name.
    """
    return canonical(text) or text.strip().lower()


def label(name: str) -> str:
    """The name that pages show for a canonical name; for an unknown platform, the name itself."""
    platform = PLATFORMS.get(name)
    return name if platform is None else platform.label
