"""Random tables in random layouts, as platforms and pipelines write them, with their totals."""

import csv
import io
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from random import Random

LANGUAGES = {
    "en": ("Campaign ID", "Campaign", "Day", "Cost", "Currency code", "Impressions", "Total: Account"),
    "de": ("Kampagnen-ID", "Kampagne", "Tag", "Kosten", "Währungscode", "Impressionen", "Gesamt: Konto"),
    "fr": ("ID de campagne", "Campagne", "Jour", "Coût", "Code de devise", "Impressions", "Total : compte"),
    "es": ("ID de campaña", "Campaña", "Día", "Coste", "Código de moneda", "Impresiones", "Total: cuenta"),
    "pt": ("ID da campanha", "Campanha", "Dia", "Custo", "Código da moeda", "Impressões", "Total: conta"),
    "it": ("ID campagna", "Campagna", "Giorno", "Costo", "Codice valuta", "Impressioni", "Totale: account"),
    "nl": ("Campagne-ID", "Campagne", "Dag", "Kosten", "Valutacode", "Vertoningen", "Totaal: account"),
    "pl": ("Identyfikator kampanii", "Kampania", "Dzień", "Koszt", "Kod waluty", "Wyświetlenia", "Łącznie: konto"),
    "ja": ("キャンペーン ID", "キャンペーン", "日", "費用", "通貨コード", "表示回数", "合計: アカウント"),
    "api": ("campaign_id", "campaign_name", "date", "spend", "currency", "impressions", "Total"),
    "meta": ("Campaign ID", "Campaign name", "Day", "Amount spent", "Currency", "Impressions", "Total"),
    "micros": (
        "campaign.id",
        "campaign.name",
        "segments.date",
        "metrics.cost_micros",
        "currency",
        "impressions",
        "Total",
    ),
}
ENCODINGS = {"en": "cp1252", "de": "cp1252", "fr": "cp1252", "es": "cp1252", "pl": "cp1250", "ja": "cp932"}
PLATFORMS = (
    "google_ads",
    "meta_ads",
    "tiktok_ads",
    "linkedin_ads",
    "amazon_ads",
    "criteo",
    "snapchat_ads",
    "reddit_ads",
)
NAMES = (
    "Herbst",
    "Total Gym Promo",
    "Summe",
    "A, B; C",
    'Say "hi"',
    "Teapot | Search",
    "2026-11-01",
    "1.234,50",
    "",
    "Sale\nnow",
)
DAY_FORMS = (
    "%Y-%m-%d",
    "%Y%m%d",
    "%Y/%m/%d",
    "%d.%m.%Y",
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%d-%m-%Y",
    "%b %d, %Y",
    "%d %B %Y",
    "%Y-%m-%d 00:00:00",
)


@dataclass(frozen=True)
class Layout:
    """How a table is written."""

    language: str
    delimiter: str
    encoding: str
    mark: str
    thousands: str
    decimals: int
    day_form: str
    has_preamble: bool
    has_totals: bool
    has_names: bool
    has_counts: bool
    sign: str
    order: tuple[int, ...]
    ends_open: bool


@dataclass(frozen=True)
class Written:
    """A file and its exact micros by campaign and day."""

    layout: Layout
    platform: str
    content: bytes
    totals: dict[tuple[str, date], int]


def write(seed: int) -> Written:
    """The table and layout of a seed."""
    chance = Random(seed)
    layout = _layout(chance)
    rows = _rows(chance, layout)
    totals: dict[tuple[str, date], Decimal] = {}
    for campaign, day, amount, _ in rows:
        totals[campaign, day] = totals.get((campaign, day), Decimal(0)) + amount
    text = _text(chance, layout, rows)
    try:
        content = text.encode(layout.encoding)
    except UnicodeEncodeError:
        layout = replace(layout, encoding="utf-8")
        content = text.encode()
    micros = {key: int(amount * (1 if layout.language == "micros" else 10**6)) for key, amount in totals.items()}
    return Written(layout, chance.choice(PLATFORMS), content, micros)


def _layout(chance: Random) -> Layout:
    language = chance.choice(list(LANGUAGES))
    mark = chance.choice(".,")
    is_micros = language == "micros"
    order = list(range(6))
    chance.shuffle(order)
    return Layout(
        language=language,
        delimiter=chance.choice(",;\t|"),
        encoding=chance.choice(["utf-8", "utf-8-sig", "utf-16", ENCODINGS.get(language, "utf-8")]),
        mark=mark,
        thousands=chance.choice(["", "", ",", ".", " ", "\u00a0", "'"]) if not is_micros else "",
        decimals=0 if is_micros else chance.choice([0, 1, 2, 2, 2, 3, 4, 6]),
        day_form=chance.choice(DAY_FORMS),
        has_preamble=chance.random() < 0.3,
        has_totals=chance.random() < 0.4,
        has_names=chance.random() < 0.7,
        has_counts=chance.random() < 0.6,
        sign=chance.choice(["", "", "", "€", "$"]) if not is_micros else "",
        order=tuple(order),
        ends_open=chance.random() < 0.3,
    )


def _rows(chance: Random, layout: Layout) -> list[tuple[str, date, Decimal, int]]:
    first = date(2026, chance.choice([1, 3, 10, 11]), chance.randrange(1, 28))
    length = chance.choice([9, 12, 12, 18])
    campaigns = [
        f"{chance.randrange(1, 9)}{chance.randrange(10 ** (length - 2)):0{length - 2}}7"
        for _ in range(chance.randrange(1, 4))
    ]
    step = Decimal(1).scaleb(-layout.decimals)
    rows = []
    for campaign in dict.fromkeys(campaigns):
        for offset in range(chance.randrange(1, 5)):
            for _ in range(chance.choice([1, 1, 1, 2])):
                size = chance.choice([1, 30, 2_000, 150_000, 9_000_000]) * 10**layout.decimals
                amount = chance.randrange(size) * step * chance.choice([1, 1, 1, 1, 1, -1] if size > 10**6 else [1])
                rows.append((campaign, first + timedelta(days=offset), amount, chance.randrange(3_000_000)))
    chance.shuffle(rows)
    return rows


def _text(chance: Random, layout: Layout, rows: list[tuple[str, date, Decimal, int]]) -> str:
    words = LANGUAGES[layout.language]
    names = {campaign: chance.choice(NAMES) for campaign, _, _, _ in rows}
    kept = [
        place
        for place in layout.order
        if place in {0, 2, 3} or (place == 1 and layout.has_names) or (place == 5 and layout.has_counts) or place == 4
    ]
    out = io.StringIO()
    writer = csv.writer(out, delimiter=layout.delimiter, lineterminator="\r\n" if chance.random() < 0.5 else "\n")
    if layout.has_preamble:
        writer.writerow(["Campaign report"])
        writer.writerow([f"{min(row[1] for row in rows):%B %d, %Y} - {max(row[1] for row in rows):%B %d, %Y}"])
    writer.writerow([words[place] for place in kept])
    for campaign, day, amount, count in rows:
        cells = [
            campaign,
            names[campaign],
            day.strftime(layout.day_form),
            number(layout, amount),
            "EUR" if layout.sign == "€" else "USD",
            number(layout, Decimal(count), is_count=True),
        ]
        writer.writerow([cells[place] for place in kept])
    if layout.has_totals:
        total = sum((row[2] for row in rows), Decimal(0))
        cells = (
            ["--", words[6], "", number(layout, total), "", ""]
            if layout.has_names
            else [words[6], "", "", number(layout, total), "", ""]
        )
        writer.writerow([cells[place] for place in kept])
    text = out.getvalue()
    return text.rstrip("\r\n") if layout.ends_open else text


def number(layout: Layout, amount: Decimal, *, is_count: bool = False) -> str:
    """An amount in the layout's signs."""
    thousands = "" if layout.thousands == layout.mark else layout.thousands
    text = f"{abs(amount):,.{0 if is_count else layout.decimals}f}"
    text = text.replace(",", "\0").replace(".", layout.mark).replace("\0", thousands)
    sign = "" if is_count else layout.sign
    return f"{'-' if amount < 0 else ''}{sign}{text}"
