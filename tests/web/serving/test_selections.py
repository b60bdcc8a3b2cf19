"""Snapshot and differences: a copy that applies them always equals what may serve, whatever happens meanwhile."""

import json
from contextlib import suppress
from datetime import timedelta
from functools import partial
from random import Random
from typing import Any

import pytest
from msgspec import structs

from app.serving import differences, read_all, read_since
from db.repository.reading.serving import Campaign, Row
from domain.errors import InvalidValue
from domain.periods import Period, local_day, window_of
from domain.zones import time_zone
from tests.world import UNIT, World
from web.serving import selections
from web.serving.encoding import Encoded
from web.serving.selections import Board, Key, Selection

STEPS = 40
NOON = "2026-06-17T12:00:00Z"
FOUND_BY_THE_CHEAP_READ = {"pause", "enable", "archive", "create", "rename", "schedule", "move"}


class Copy:
    """A follower's copy of one selection, made from events alone."""

    def __init__(self, selection: Selection) -> None:
        self.selection, self.step = selection, selection.step
        body = json.loads(selection.snapshot().body().plain)
        self.id = body["snapshot_id"]
        self.campaigns = {one["campaign_id"]: one for one in body["campaigns"]}

    def catch_up(self) -> None:
        events = self.selection.since(self.step)
        assert events is not None
        self.step += len(events)
        for event in events:
            self.id, data = _parsed(event)
            for one in data["removed"]:
                assert self.campaigns.pop(one["campaign_id"])
            for one in data["added"]:
                assert one["campaign_id"] not in self.campaigns
            for one in data["changed"]:
                assert self.campaigns[one["campaign_id"]] != one
            self.campaigns |= {one["campaign_id"]: one for one in (*data["added"], *data["changed"])}


def _parsed(event: Encoded) -> tuple[str, Any]:
    fields = dict(line.split(": ", 1) for line in event.plain.decode().splitlines() if line)
    return fields["id"], json.loads(fields["data"])


def expected(world: World, key: Key) -> dict[int, dict[str, Any]]:
    """The expected content of the selection, by the raw tables and the rules of `domain.periods`."""
    from runtime import clock  # noqa: PLC0415 - after the environment is set

    at = clock.now()
    found = {}
    released = world.rows("SELECT campaign_id, until_day, external_id FROM released_external_ids")
    leaving = {(row["campaign_id"], row["until_day"]): row["external_id"] for row in released}
    for row in world.rows(
        "SELECT campaigns.*, time_zone, (SELECT account_id FROM platform_accounts WHERE id = platform_account_id)"
        " AS account, (SELECT max(id) FROM status_changes AS changes"
        " WHERE changes.brand_id = campaigns.brand_id AND campaign_id = campaigns.id) AS change_id"
        " FROM campaigns JOIN brands ON brands.id = brand_id WHERE effective_status = 'active'"
    ):
        today = local_day(at, time_zone(row["time_zone"]))
        lefts = [_left(world, budget, today) for budget in _budgets(world, row)]
        if key.brand_id in {None, row["brand_id"]} and key.platform in {None, row["platform"]}:
            next_change_at, ends_on = row["next_change_at"], row["ends_on"]
            left_id = leaving.get((row["id"], ends_on + timedelta(days=1))) if ends_on else None
            found[row["id"]] = {
                "campaign_id": row["id"],
                "brand_id": row["brand_id"],
                "platform": row["platform"],
                "external_id": row["external_id"] or left_id,
                "account": row["account"],
                "change_id": row["change_id"],
                "next_change_at": next_change_at and next_change_at.isoformat().replace("+00:00", "Z"),
                "headroom_micros": min(lefts, default=None),
            }
    assert all(one["headroom_micros"] is None or one["headroom_micros"] > 0 for one in found.values())
    return found


def _budgets(world: World, row: dict[str, Any]) -> list[dict[str, Any]]:
    statement = "SELECT * FROM budgets WHERE brand_id = %s AND (campaign_id IS NULL OR campaign_id = %s)"
    return world.rows(statement, row["brand_id"], row["id"])


def _left(world: World, budget: dict[str, Any], today: Any) -> int:
    window = window_of(Period(budget["period"]), today)
    table, of = ("brand_days", "true") if budget["campaign_id"] is None else ("campaign_days", "campaign_id = %s")
    rows = world.rows(
        f"SELECT day, spent_micros FROM {table} WHERE brand_id = %s AND {of}",  # noqa: S608 - constants
        budget["brand_id"],
        *([] if budget["campaign_id"] is None else [budget["campaign_id"]]),
    )
    return int(budget["limit_micros"] - sum(row["spent_micros"] for row in rows if row["day"] in window))


def without_headroom(rows: dict[int, Row]) -> dict[int, Campaign]:
    """The campaigns of the rows, all with the same headroom."""
    return {key: structs.replace(row.campaign, headroom_micros=None) for key, row in rows.items()}


def row(campaign: int, mark: int) -> Row:
    return Row(Campaign(campaign, 1, None, None, None, None, None, None), mark + 1)


class Life:
    """Random acts of people, upstream systems and the clock, on a few brands."""

    def __init__(self, world: World, draw: Random) -> None:
        self.world, self.draw = world, draw
        self.at = world.set_clock(NOON)
        self.brands = [
            world.brand("America/New_York", daily=9 * UNIT, monthly=60 * UNIT),
            world.brand("Asia/Kathmandu", weekly=20 * UNIT),
            world.brand("UTC"),
        ]
        self.campaigns = [world.campaign(brand) for brand in self.brands for _ in range(2)]
        self.numbers = iter(range(1, 10_000))
        self.acts = [
            *(self.pause, self.enable, self.archive, self.create, self.rename, self.spend, self.spend, self.refund),
            *(self.set_brand_limit, self.set_own_limit, self.schedule, self.pass_time, self.edit_by_sql, self.move),
        ]

    def act(self) -> str:
        """Acts at random; returns the act's name."""
        act = self.draw.choice(self.acts)
        act()
        return act.__name__

    def one(self) -> int:
        return self.draw.choice(self.campaigns)

    def pause(self) -> None:
        self.world.set_status(self.one(), "paused")

    def enable(self) -> None:
        for campaign in self.draw.sample(self.campaigns, 3):
            self.world.set_status(campaign, "enabled")

    def archive(self) -> None:
        self.world.set_status(self.one(), "archived")

    def create(self) -> None:
        platform = self.draw.choice(["google_ads", "meta_ads"])
        brand = self.draw.choice(self.brands)
        made = self.world.campaign(brand, platform=platform, external_id=f'é"{next(self.numbers)}')
        self.campaigns.append(made)

    def rename(self) -> None:
        from app.edits import editing  # noqa: PLC0415 - after the environment is set

        changes = {"platform": self.draw.choice(["google_ads", "meta_ads"]), "external_id": str(next(self.numbers))}
        campaign = self.one()
        edit = self.world._edit()
        self.world._edited(campaign, partial(editing.edit_campaign, campaign_id=campaign, changes=changes, edit=edit))

    def spend(self) -> None:
        self.world.spend(self.one(), self.draw.randint(1, 3 * UNIT))

    def refund(self) -> None:
        self.world.spend(self.one(), -self.draw.randint(1, 3 * UNIT))

    def set_brand_limit(self) -> None:
        period = self.draw.choice(["daily", "lifetime"])
        self.world.limit(self.draw.randint(5, 40) * UNIT, period, brand=self.draw.choice(self.brands))

    def set_own_limit(self) -> None:
        self.world.limit(self.draw.randint(2, 9) * UNIT, self.draw.choice(["daily", "yearly"]), campaign=self.one())

    def schedule(self) -> None:
        self.world.schedule(
            self.one(), self.draw.choice(["Mon-Sun 00:00-24:00", "Mon-Sun 09:00-17:00", "Sat 10:00-12:00"])
        )

    def pass_time(self) -> None:
        self.at = self.world.set_clock(self.at + timedelta(hours=self.draw.randint(1, 30)))
        self.world.tick()

    def edit_by_sql(self) -> None:
        self.world.execute(
            "UPDATE campaigns SET external_id = %s WHERE id = %s AND platform IS NOT NULL",
            str(next(self.numbers)),
            self.one(),
        )

    def move(self) -> None:
        from app.edits import moves  # noqa: PLC0415 - after the environment is set

        asked = moves.Move(self.one(), self.draw.choice(self.brands))
        with suppress(InvalidValue):  # it has no external id, is in that brand already, or spent today
            self.campaigns.append(moves.move(asked, self.world._edit()).new_campaign_id)


@pytest.mark.parametrize("seed", range(4))
def test_snapshot_and_differences_equal_a_fresh_snapshot(world: World, seed: int) -> None:
    life = Life(world, Random(seed))
    keys = [Key(brand, platform) for brand in (None, *life.brands[:2]) for platform in (None, "google_ads")]
    position, rows = read_all(None)
    board = Board(position, None, rows)
    board.select(keys)
    copies = {key: Copy(board.selections[key]) for key in keys}
    for _ in range(STEPS):
        act = life.act()
        changes = read_since(board.position, None)
        assert changes is not None
        board.apply(changes.rows, board.steps(changes.rows, changes.change_ids))
        board.position = changes.position
        _, all_rows = read_all(None)
        assert board.rows.keys() == all_rows.keys()
        if act in FOUND_BY_THE_CHEAP_READ:
            assert without_headroom(board.rows) == without_headroom(all_rows)
        found = differences(board.rows, all_rows)
        board.apply(found, board.steps(found, {}))
        for key, copy in copies.items():
            copy.catch_up()
            assert copy.campaigns == expected(world, key)
            fresh = Selection(key, board.position.epoch, all_rows)
            assert (copy.id, board.selections[key].id) == (fresh.id, fresh.id)


def test_follower_too_far_behind_gets_a_snapshot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selections, "MAX_HISTORY", 2)
    selection = Selection(Key(None, None), "epoch", {})
    ids = [selection.id]
    for number in range(3):
        step = selection.difference({1: row(1, number)}, {})
        assert step is not None
        selection.apply(step)
        ids.append(selection.id)
    assert selection.since(0) is None
    assert [_parsed(event)[0] for event in selection.since(1) or ()] == ids[2:]
    assert [selection.step_of(one) for one in ids] == [None, 1, 2, 3]


def test_two_moves_of_headroom_that_add_up_to_nothing_change_the_id(world: World) -> None:
    campaigns = [world.campaign(world.brand(daily=10 * UNIT)) for _ in range(2)]
    for campaign in campaigns:
        world.spend(campaign, 4 * UNIT)
    position, rows = read_all(None)
    before = Selection(Key(None, None), position.epoch, rows)
    world.spend(campaigns[0], UNIT)
    world.spend(campaigns[1], -UNIT)
    assert Selection(Key(None, None), position.epoch, read_all(None)[1]).id != before.id
    world.spend(campaigns[0], -UNIT)
    world.spend(campaigns[1], UNIT)
    assert Selection(Key(None, None), position.epoch, read_all(None)[1]).id == before.id


def test_content_has_one_id_in_whatever_order_it_was_reached() -> None:
    rows = {number: row(number, number) for number in range(3)}
    grown = Selection(Key(None, None), "epoch", {})
    for changed in ({2: rows[2], 1: None}, {0: rows[0]}, {1: rows[1]}):
        step = grown.difference({key: row for key, row in changed.items() if row or key in grown.rows}, {})
        assert step is not None
        grown.apply(step)
    assert grown.id == Selection(Key(None, None), "epoch", rows).id != Selection(Key(None, None), "other", rows).id
