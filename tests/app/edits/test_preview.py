"""Previews of edits: the shown effect is the effect of the edit, and no edit is made without confirmation."""

from collections.abc import Callable
from functools import partial

import pytest
from sqlalchemy import Connection

from app.edits import editing
from app.edits import preview as edits
from app.edits.preview import Unconfirmed, agreed_to
from db.repository.access.audit import Edit
from domain.edits.words import effect_words
from domain.periods import Period
from runtime import clock
from tests.world import UNIT, World


def limit(world: World, brand: int, micros: int) -> Callable[[Connection], object]:
    edit = Edit("test", clock.now())
    return partial(
        editing.set_budget, brand_id=brand, campaign_id=None, period=Period.DAILY, limit_micros=micros, edit=edit
    )


def rows(world: World) -> list[object]:
    return [
        world.rows("SELECT * FROM budgets ORDER BY id"),
        world.rows("SELECT * FROM campaigns ORDER BY id"),
        world.rows("SELECT id FROM audit_entries ORDER BY id"),
        world.rows("SELECT id FROM status_changes ORDER BY id"),
        world.rows("SELECT id FROM hold_changes ORDER BY id"),
    ]


def test_preview_counts_stopped_campaigns_and_changes_nothing(world: World) -> None:
    brand = world.brand(daily=7_900 * UNIT)
    campaigns = [world.campaign(brand) for _ in range(3)]
    world.set_status(campaigns[2], "paused")
    world.spend(campaigns[0], 2 * UNIT)
    before = rows(world)
    effect = edits.previewed(limit(world, brand, 1_500_000), brand)
    assert effect.sentence() == "Daily limit $7,900.00 → $1.50: stops 2 campaigns now"
    assert (effect.stopped, effect.released, effect.needs_consent) == (2, 0, True)
    assert rows(world) == before
    result, done = edits.edit(limit(world, brand, 1_500_000), brand, agreed_to(effect.token))
    assert done.sentence(is_done=True) == "Daily limit $7,900.00 → $1.50: stopped 2 campaigns"
    assert isinstance(result, int)
    assert [world.is_active(campaign) for campaign in campaigns] == [False] * 3
    world.verify()


def test_confirmation_of_an_outdated_effect_is_refused(world: World) -> None:
    brand = world.brand(daily=10 * UNIT)
    one, two = world.campaign(brand), world.campaign(brand)
    world.spend(one, 2 * UNIT)
    seen = edits.previewed(limit(world, brand, UNIT), brand)
    world.set_status(two, "paused")
    with pytest.raises(Unconfirmed) as refused:
        edits.edit(limit(world, brand, UNIT), brand, agreed_to(seen.token))
    assert refused.value.effect.sentence() == "Daily limit $10.00 → $1.00: stops 1 campaign now"
    assert world.is_active(one)
    edits.edit(limit(world, brand, UNIT), brand, agreed_to(refused.value.effect.token))
    assert not world.is_active(one)


@pytest.mark.parametrize(
    ("micros", "asks"), [(5 * UNIT, False), (5 * UNIT - 1, True), (15 * UNIT, False), (15 * UNIT + 1, True)]
)
def test_limit_change_of_more_than_half_needs_consent(world: World, micros: int, asks: bool) -> None:
    brand = world.brand(daily=10 * UNIT)
    assert edits.previewed(limit(world, brand, micros), brand).needs_consent is asks


def test_edit_that_changes_nothing_needs_no_consent(world: World) -> None:
    brand = world.brand(daily=10 * UNIT)
    effect = edits.previewed(limit(world, brand, 10 * UNIT), brand)
    assert (effect.needs_consent, effect.lines) == (False, [])


def test_removed_limit_needs_consent_and_a_first_limit_only_if_it_stops_campaigns(world: World) -> None:
    brand = world.brand()
    first = edits.previewed(limit(world, brand, UNIT), brand)
    assert (first.needs_consent, first.lines) == (False, ["Daily limit none → $1.00"])
    world.limit(UNIT, brand=brand)
    remove = partial(
        editing.remove_budget,
        brand_id=brand,
        campaign_id=None,
        period=Period.DAILY,
        edit=Edit("test", clock.now()),
    )
    removed = edits.previewed(remove, brand)
    assert (removed.needs_consent, removed.lines) == (True, ["Daily limit $1.00 → none"])


def test_preview_of_a_brand_with_many_campaigns_says_at_least(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.enforcement.LOOKED_AT", 2)
    brand = world.brand()
    for _ in range(3):
        world.campaign(brand)
    sentence = edits.previewed(limit(world, brand, 0), brand).sentence()
    assert sentence == "Daily limit none → $0.00: stops at least 2 campaigns now"
    edits.edit(limit(world, brand, 0), brand, lambda _effect: True)
    assert world.rows("SELECT FROM campaigns WHERE effective_status = 'active'") == []


def test_edit_of_the_newest_campaign_of_a_large_brand_needs_consent(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.enforcement.LOOKED_AT", 2)
    brand = world.brand()
    *_, newest = [world.campaign(brand) for _ in range(3)]
    edit = Edit("test", clock.now())
    pause = partial(editing.edit_campaign, campaign_id=newest, changes={"configured_status": "paused"}, edit=edit)
    effect = edits.previewed(pause, brand)
    assert (effect.needs_consent, effect.stopped, effect.is_partial) == (True, 1, False)
    spent_out = partial(
        editing.set_budget, brand_id=brand, campaign_id=newest, period=Period.DAILY, limit_micros=0, edit=edit
    )
    assert edits.previewed(spent_out, brand).sentence() == (
        f"Daily limit of campaign {newest} none → $0.00: stops 1 campaign now"
    )


def test_preview_leaves_out_concurrent_edits_of_other_transactions(world: World) -> None:
    brand = world.brand(daily=10 * UNIT)

    def work(connection: object) -> None:
        world.brand(name="Another")
        limit(world, brand, 9 * UNIT)(connection)  # type: ignore[arg-type]

    assert edits.previewed(work, brand).lines == ["Daily limit $10.00 → $9.00"]


def test_effect_is_described_in_words() -> None:
    assert effect_words(1, 0) == "stops 1 campaign now"
    assert effect_words(1_200, 3) == "stops 1,200 campaigns and releases 3 campaigns now"
    assert effect_words(0, 1, is_done=True) == "released 1 campaign"
    assert effect_words(0, 0) == "stops and releases no campaign now"
