"""`spendgate repair` describes each correction in words."""

from collections.abc import Mapping
from typing import Any, get_args

import pytest

from cli.repair import sentence
from db.repository.proof.corrections import Correction, Kind

KEY: Mapping[str, Any] = {"day": "2026-03-01", "source": "bidder", "period": "daily", "check": "seals"}


@pytest.mark.parametrize(
    ("kind", "subject", "new", "expected"),
    [
        ("flag", {}, {"has_campaign_budgets": True}, "brand 1: ingest checks the budgets of its campaigns again"),
        (
            "flag",
            {},
            {"has_campaign_budgets": False},
            "brand 1: ingest checks no budgets of its campaigns, since they have none",
        ),
        (
            "directory",
            {"campaign_id": 5},
            {"id": 5},
            "brand 1, campaign 5: its row in the directory of several servers, from its own row",
        ),
        ("known", {"check": "seals"}, None, "brand 1: acknowledged finding of the check seals"),
    ],
)
def test_repair_describes_a_correction_without_figures(
    kind: Kind, subject: Mapping[str, Any], new: Mapping[str, Any] | None, expected: str
) -> None:
    assert sentence(Correction(1, kind, subject, None, new), "EUR") == expected


def test_repair_describes_each_kind_of_correction_in_words_of_its_own() -> None:
    new = {"has_campaign_budgets": True, "holds": ["brand_daily"]}
    described = {kind: sentence(Correction(1, kind, KEY, None, new), "EUR") for kind in get_args(Kind)}
    of_counters = described.pop("campaign_day"), described.pop("brand_day")
    assert len(set(of_counters)) == 1
    assert len({*of_counters, *described.values()}) == len(described) + 1


def test_repair_describes_no_correction_of_an_unknown_kind() -> None:
    unknown: Any = "no_such_kind"
    with pytest.raises(AssertionError):
        sentence(Correction(1, unknown, {}), "EUR")
