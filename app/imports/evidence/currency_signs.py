"""The signs by which amounts name their currency."""

from typing import Final

from app.imports.headings.heading_reader import CODES

_SIGNS: Final = {
    "$": "USD CAD AUD NZD SGD HKD TWD MXN ARS CLP COP UYU",
    "¥": "JPY CNY", "円": "JPY", "元": "CNY TWD", "€": "EUR", "£": "GBP EGP", "₹": "INR", "RS": "INR PKR", "₩": "KRW",
    "₽": "RUB", "₺": "TRY", "TL": "TRY", "₴": "UAH", "₪": "ILS", "₫": "VND", "Đ": "VND", "₱": "PHP", "฿": "THB",
    "ZŁ": "PLN", "R$": "BRL", "US$": "USD", "$US": "USD", "CA$": "CAD", "C$": "CAD", "$CA": "CAD", "A$": "AUD",
    "AU$": "AUD", "NZ$": "NZD", "S$": "SGD", "HK$": "HKD", "NT$": "TWD", "MX$": "MXN", "KČ": "CZK",
    "KR": "SEK NOK DKK ISK", "FT": "HUF", "LEI": "RON", "FR": "CHF", "RP": "IDR", "RM": "MYR", "R": "ZAR",
    "CN¥": "CNY", "JP¥": "JPY", "₦": "NGN", "₸": "KZT", "ЛВ": "BGN", "РУБ": "RUB",
}  # fmt: skip


def signed_currencies(sign: str) -> frozenset[str] | None:
    """The currencies that a sign or code in upper case can mean; None for a text that is neither."""
    if sign in _SIGNS:
        return frozenset(_SIGNS[sign].split())
    return frozenset({sign}) if sign in CODES else None
