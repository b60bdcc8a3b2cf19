"""The platform of a file: by the headings and lines that only one platform writes."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Final, NamedTuple

from app.imports.headings.heading_reader import Heading, squeezed
from app.imports.tables import Row

HEADINGS: Final[Mapping[str, str]] = {
    "google_ads": """
        impr.; cost_micros; metrics.cost_micros; metrics_cost_micros; metrics.costMicros; segments.date; segments_date; customer.currency_code; campaign state; cost / conv.; conv. value
        segments_ad_network_type; ad_network_type; interaction_event_types; base_campaign; conversion actions; campaign bid strategy type; interaction rate; optimization score; conv. rate; viewable impr.
        all conv.; cross-device conv.; kosten/conv.; conv.-wert; coût/conv.; coste/conv.; custo/conv.; costo/conv.; koszt/konw.; インタラクション; 表示回数
        """,
    "microsoft_ads": """
        gregorian date; bid_match_type; ad_distribution; top_vs_other; delivered_match_type
        quality impact; top vs. other; bidded match type; delivered match type; ad distribution; all_conversions_qualified
        """,
    "meta_ads": """
        reporting starts; reporting ends; campaign delivery; attribution setting; date_start; date_stop; amount spent; inline_link_clicks; ad set name; adset_name; adset_id; publisher_platform
        Ausgegebener Betrag; Berichtsstart; Berichtsende; Montant dépensé; Début du rapport; Début des rapports; Importe gastado; Inicio del informe; Valor usado; Valor gasto; Início dos relatórios; Importo speso; Inizio report
        Besteed bedrag; Begin van rapportage; Wydana kwota; Początek raportowania; 消化金額; レポート開始日; Kampagnenauslieferung; Auslieferung der Kampagne; Attributionseinstellung; Diffusion de la campagne; Entrega de la campaña; Veiculação da campanha
        Pubblicazione della campagna; Kwota wydana; Spenderat belopp; Потраченная сумма; Сумма затрат; 花费金额; amount_spent; unique link clicks; ad set budget; campaign budget type
        """,
    "tiktok_ads": """
        by day; stat_time_day; stat_time_hour; real_time_conversion; real_time_cost_per_conversion; real_time_result; secondary_goal_result; video_watched_2_s; video_watched_6_s; profile_visits_rate; 2-second video views; 6-second video views
        destination clicks; clicks (destination); ctr (destination); cpc (destination)
        """,
    "linkedin_ads": """
        campaign group name; campaign group id; total spent; cost_in_local_currency; cost_in_usd; total engagements; lead form opens; external_website_conversions; one_click_leads; company_page_clicks; start date (in utc); campaign group status
        clicks to landing page; total social actions; approximate_unique_impressions; text_url_clicks; ausgaben insgesamt; costinlocalcurrency; pivotvalues; daterange.start.year; pivotvalue
        """,
    "amazon_ads": """
        portfolio name; bidding strategy; program type; advertised asin; advertised sku; 7 day total sales; total advertising cost of sales (acos); acos; campaign_budget_amount; 14 day total sales; campaign_bidding_strategy
        7 day total orders (#); 14 day total orders (#); advertiser account id; budget currency; 14 day new-to-brand orders (#); purchases_30_d; sales_30_d; campaign_applicable_budget_rule_id; total return on advertising spend (roas)
        Portfolioname; Portfolio-Name; 7 Tage, Umsatz gesamt; Nom du portefeuille; ポートフォリオ名; campaignbudgetcurrencycode; campaignstatus; attributedsales14d; sales14d; purchases14d; click-thru rate (ctr); cost per click (cpc)
        """,
    "amazon_dsp": """
        dpv; total dpv; atc; total atc; dsp; total ecpp; order currency; detail page views; total detail page view; supply cost; amazon audience fee; intervalstart; order external id
        """,
    "pinterest_ads": "pin clicks; outbound clicks; spend in account currency; spend_in_micro_dollar; pin_promotion_id; pin click rate; clickthrough_1; impression_1; spend_in_dollar; pin promotion name",
    "snapchat_ads": "swipe ups; paid impressions; swipes; ad squad name; ad_squad_id; screen_time_millis; quartile_1; view_completion; ecpsu; swipe up rate; story opens; ad squad id; conversion_purchases_value; ad set name snap",
    "reddit_ads": "app_install_metrics_spend; comment_downvotes; comment_upvotes; upvotes; legacy_click_conversions_attribution_window_day; comments_page_views; gallery_item_id; conversion_roas; key_conversion_rate",
    "x_ads": """
        billed_charge_local_micro; promoted_tweet_id; url_clicks; card_engagements; auto_created_tweets; app_clicks; funding instrument name; funding instrument id; retweets; tweet engagements; post engagements; media_views; billed_engagements
        """,
    "apple_search_ads": "taps; ttr; cr (tap-through); tap_through_rate; local_spend_amount; local_spend_currency; avg cpt; avg_cpt_amount; new downloads; redownloads; lat_on_installs; localspend.amount; installs (total); installs (tap-through); avg cpa (tap-through); taptotalinstalls; total.localspend.amount",
    "dv360": "revenue (adv currency); media cost (advertiser currency); insertion order status; total media cost (advertiser currency); billable impressions; line item status; exchange id",
    "cm360": "site (cm360); site (dcm); dv360 cost; active view: viewable impressions; creative pixel size; site id (cm360); floodlight; cost structure",
    "the_trade_desk": "advertiser cost (adv currency); media cost (adv currency); ad group id ttd; partner currency code; advertiser cost (usd); partner cost (usd); ttd cost (usd); sampled viewed impressions; player 25% complete; advertisercostinadvertisercurrency; advertiser currency code; 01 - click conversion",
    "criteo": "displays; exposed users; advertisercost; adsetid; ecos; cost per order; salesclientattribution; revenuegeneratedpc30d; potential displays; overallcompetitionwin; cr pc",
    "taboola": "vctr; actual cpc; cpa actions num; visible_impressions; vctr; campaign_day_breakdown; blocking_level; content_provider; cpa_actions_num; ad name taboola; roas - clicks",
    "outbrain": "average cpc; marketer; marketer id; outbrain; conversion rate (click); cost per conversion (click); total cpa; avg. ecpc; dstfeecost; promoted link",
    "appsflyer": "media source (pid); partner (af_prt); campaign (c); loyal users; af_prt; agency/pmd (af_prt); average ecpi; original cost; af_cost_value; original_cost; af_cost_currency; arpu",
    "yahoo_japan": "配信日; 平均クリック単価; コンバージョン数; 広告費; ご利用額; コスト; キャンペーン目的; 動画再生数",
    "viant": "advertiser id viant; viant; media cost cpm; budget spent; adelphic; total cost ecpm; conversions (post-view)",
}
"""Headings that identify a platform, by platform. A heading of n platforms counts 1/n for each."""

LINES: Final[Mapping[str, str]] = {  # patterns of lines that identify a platform, counting 2 each
    "microsoft_ads": r"Microsoft Corporation|Last Completed Available (?:Day|Hour)|Potential Incomplete Data",
    "google_ads": r"^\"?[A-Z_]+_REPORT \(|^Campaign report$|^Kampagnenbericht$|^Rapport sur les campagnes$|^Informe de campañas?$|^Relatório de campanhas?$|^Rapporto? (?:sulle )?campagn[ae]$|^Campagnerapport$|^Raport kampanii$|^キャンペーン レポート$",
    "linkedin_ads": r"Campaign Performance Report|Leistungsbericht|Date Generated: ",
    "apple_search_ads": r"^Organization\b|^Org(?:anization)? Name|Apple (?:Search )?Ads",
    "dv360": r"^Report Time:|^Group By:|MRC Accredited Metrics|Display & Video 360",
    "cm360": r"^Report Fields$|CM360|Campaign Manager 360|^Date/Time Generated",
}

PIPELINE_MARKS: Final = frozenset(
    {"fivetransynced", "fivetranid", "airbyteextractedat", "airbyteemittedat", "airbyteabid", "airbyterawid"}
)


CAMEL_CASED: Final[Mapping[str, str]] = {
    "TimePeriod": "microsoft_ads", "CampaignId": "microsoft_ads", "CurrencyCode": "microsoft_ads", "GregorianDate": "microsoft_ads",
}  # fmt: skip
"""By heading, the platform that it identifies if it is spelled so, with these capitals."""


A_LEAD: Final = 0.5
"""The least difference of scores by which the first platform must lead the second."""


class Found(NamedTuple):
    """A platform, and the heading or line that identifies it."""

    name: str
    why: str


def _weights() -> dict[str, dict[str, float]]:
    by_key: dict[str, set[str]] = {}
    for platform, words in HEADINGS.items():
        for word in re.split(r"[;\n]", words):
            if key := squeezed(word):
                by_key.setdefault(key, set()).add(platform)
    return {key: dict.fromkeys(names, 1 / len(names)) for key, names in by_key.items()}


_WEIGHTS: Final = _weights()


def platform_of(found: Sequence[Heading], lines: Iterable[Row]) -> tuple[Found | None, dict[str, float]]:
    """The platform that headings and lines outside of the table identify, and the score of each platform with a mark.

    The platform is None unless its score is 1 or more and leads by A_LEAD.
    """
    scores: dict[str, float] = {}
    reasons: dict[str, str] = {}
    for name, weight, reason in chain(_of_headings(found), _of_lines(lines)):
        scores[name] = scores.get(name, 0) + weight
        if weight >= 1:
            reasons.setdefault(name, reason)
    ranked = sorted(scores, key=lambda name: -scores[name])
    runner_up = scores[ranked[1]] if len(ranked) > 1 else 0
    if not ranked or scores[ranked[0]] < 1 or scores[ranked[0]] - runner_up < A_LEAD:
        return None, scores
    return Found(ranked[0], reasons.get(ranked[0], "its headings")), scores


def _of_headings(found: Iterable[Heading]) -> Iterator[tuple[str, float, str]]:
    for one in found:
        for name, weight in _marks_of(one.text).items():
            yield name, weight, f"heading {one.text}"
        if one.platform is not None and one.meaning in {"campaign", "name"}:
            yield one.platform, 1, f"heading {one.text}"


def _of_lines(lines: Iterable[Row]) -> Iterator[tuple[str, float, str]]:
    for row in lines:
        text = " ".join(cell.strip() for cell in row.cells if cell.strip())
        for name, pattern in LINES.items():
            if re.search(pattern, text):
                yield name, 2, f"line {row.line}, {text[:40]!r}"


def _marks_of(text: str) -> Mapping[str, float]:
    if text in CAMEL_CASED:
        return {CAMEL_CASED[text]: 1}
    return _WEIGHTS.get(squeezed(text)) or _WEIGHTS.get(squeezed(text.partition("(")[0])) or {}
