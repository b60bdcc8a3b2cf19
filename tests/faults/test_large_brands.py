"""Worker processes killed between the parts of a large brand's pass: other processes continue it."""

from dramatiq import Message

from app.enforcement import enforce_brands
from domain.causes import Cause
from tests.faults.kit import FaultStage, children, is_ready, kill, size, until
from tests.world import World

CAMPAIGNS = size(4_000, 100_000)
PART = 50
ENV = {
    "SPENDGATE_WORKER_PROCESSES": "2",
    "SPENDGATE_WORKER_THREADS": "4",
    "SPENDGATE_FAULTS_SILENT_MS": "2000",
    "SPENDGATE_FAULTS_PART": str(PART),
}


def test_workers_killed_between_parts_leave_no_campaign_active_and_toggle_none_twice(stage: FaultStage) -> None:
    kills = size(3, 20)
    brand, campaign = large_brand(stage.world)
    with stage.started("-m", "tests.faults.worker", env=ENV) as master:
        until(lambda: is_ready(master), "the workers are ready")
        stage.send([[stage.world.event(campaign, 10)]])
        done = 0
        for _ in range(kills):
            until(lambda done=done: done_of(stage.world, brand) > done, "the pass continues")  # type: ignore[misc]  # bound now
            for pid in children(master.process.pid):
                kill(pid)
            done = done_of(stage.world, brand)
            assert PART <= done < CAMPAIGNS, "it was not under way"
            assert done % PART == 0
            send_tick(stage)
        until(lambda: done_of(stage.world, brand) == CAMPAIGNS, "the pass is over")
    toggles = stage.world.rows("SELECT count(*) AS times FROM status_changes GROUP BY campaign_id")
    assert [row["times"] for row in toggles] == [1] * CAMPAIGNS
    assert stage.world.spent(campaign) == 10
    stage.world.verify()


def large_brand(world: World) -> tuple[int, int]:
    """A brand with a daily limit of 10 and very many campaigns; returns it and its last campaign."""
    brand = world.brand(daily=10)
    insert = "INSERT INTO campaigns (brand_id, name) SELECT %s, 'c' FROM generate_series(1, %s)"
    world.execute(insert, brand, CAMPAIGNS)
    enforce_brands([brand], Cause.CHECK)
    return brand, int(world.one("SELECT max(id) AS id FROM campaigns")["id"])


def done_of(world: World, brand: int) -> int:
    """The number of campaigns that the pass has done; all of them if the pass is over."""
    rows = world.rows("SELECT done FROM pending_enforcements WHERE brand_id = %s", brand)
    if rows:
        return int(rows[0]["done"])
    closed = world.one("SELECT count(*) AS campaigns FROM campaigns WHERE effective_status = 'inactive'")
    return int(closed["campaigns"])


def send_tick(stage: FaultStage) -> None:
    """Sends the minute's tick, as the scheduler does."""
    tick: Message[None] = Message(queue_name="schedule", actor_name="apply_dayparting", args=(), kwargs={}, options={})
    stage.producer.declare_queue("schedule")
    stage.producer.enqueue(tick)
