"""Callers that wait for their inputs count all of them, also inputs whose brand was unknown while a server was away."""

import pytest

from app.ingest import ingest
from app.ingest.attempts import UNKNOWN_BRAND, UncountedInput
from app.ingest.by_brand import BatchResult, BrandsTimedOut
from app.ingest.count import Counted
from tests.as_citus.driver import shard_of
from tests.world import World


def test_inputs_of_unknown_brands_on_several_shards_are_all_counted(world: World) -> None:
    campaigns = [world.campaign(world.brand()) for _ in range(4)]
    assert len({shard_of(world.brand_of(campaign)) for campaign in campaigns}) > 1
    committer = ingest.EVENTS.committer(None)
    waiting = [UncountedInput(UNKNOWN_BRAND, world.event(campaign, 5)) for campaign in campaigns]
    results = ingest._waited_for(committer, waiting)
    assert [result.error for result in results if result.error is not None] == []
    assert [world.spent(campaign) for campaign in campaigns] == [5] * 4
    world.verify()


def test_inputs_that_no_try_counts_are_named_in_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = [UncountedInput(UNKNOWN_BRAND, {"event_id": "a"})]
    committer = ingest.EVENTS.committer(None)
    counted = Counted(uncounted=tuple(waiting))
    monkeypatch.setattr(type(committer), "wait_for", lambda _self, _waiting: [BatchResult(counted)])
    (*_, last) = ingest._waited_for(committer, waiting)
    assert isinstance(last.error, BrandsTimedOut)
    assert last.error.uncounted == waiting
