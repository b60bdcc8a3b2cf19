"""An external id that is corrected: the memory of the old id is no memory of the new one."""

from functools import partial

from app.edits import editing
from app.enforcement import edited
from app.platforms import connecting
from db.repository.access.audit import Edit
from domain.periods import ONE_DAY
from runtime import clock
from tests.app.platforms.kit import Connected
from tests.app.platforms.test_sending import Watched
from tests.world import World


def correct(connected: Connected, campaign: int, **changes: object) -> None:
    """An edit of the campaign, as people make it."""
    edit = Edit("ada", clock.now())
    edited(partial(editing.edit_campaign, campaign_id=campaign, changes=changes, edit=edit), connected.brand)


def test_campaign_that_a_person_paused_under_the_corrected_id_stays_paused(connected: Connected, world: World) -> None:
    campaign = connected.campaign("111")
    connected.fake.add("222", "paused")
    world.spend(campaign, 100)
    connected.reconcile()
    assert connected.row(campaign)["paused_by_us"]
    correct(connected, campaign, external_id="222")
    assert world.rows("SELECT FROM platform_statuses") == []
    world.limit(1_000, brand=connected.brand)
    connected.reconcile()
    assert (connected.there("111"), connected.there("222")) == ("paused", "paused")
    assert world.holds(campaign) == {"platform_paused"}
    audited = world.one("SELECT new FROM audit_entries WHERE changed_by = 'ada'")["new"]
    assert audited["left_paused_there"] == "111"
    world.verify()


def test_campaign_that_changes_its_account_forgets_the_old_one(connected: Connected, world: World) -> None:
    campaign = connected.campaign("111")
    world.spend(campaign, 100)
    connected.reconcile()
    correct(connected, campaign, account=None)
    assert world.rows("SELECT FROM platform_statuses") == []
    correct(connected, campaign, account=connected.fake.account_id, name="Same id, same account")
    connected.reconcile()
    world.set_clock(clock.now() + ONE_DAY)
    connected.reconcile()
    assert connected.there("111") == "paused"


def test_outcome_for_the_old_id_is_not_stored_for_the_new_one(connected: Connected, world: World) -> None:
    campaign = connected.campaign("111")
    connected.fake.add("222", "enabled")
    connected.reconcile()
    world.spend(campaign, 100)
    is_sent = Watched(lambda one: one.kind == "mutate", lambda: correct(connected, campaign, external_id="222"))
    connected.fake.received = is_sent
    connected.reconcile()
    assert world.rows("SELECT FROM platform_statuses WHERE paused_by_us AND confirmed = 'paused'") == []
    connected.reconcile()
    assert connected.there("222") == "paused"
    assert connected.row(campaign)["paused_by_us"]


def test_edit_of_other_fields_keeps_the_memory(connected: Connected, world: World) -> None:
    campaign = connected.campaign("111")
    world.spend(campaign, 100)
    connected.reconcile()
    correct(connected, campaign, name="Boots")
    assert connected.row(campaign)["paused_by_us"]
    assert "left_paused_there" not in world.one("SELECT new FROM audit_entries WHERE changed_by = 'ada'")["new"]


def test_check_names_only_missing_ids_of_campaigns_in_use(connected: Connected, world: World) -> None:
    def missing() -> str:
        return " ".join(connecting.check(connected.account).missing)

    campaign = connected.campaign("111")
    world.spend(campaign, 100)
    correct(connected, campaign, external_id="222")
    del connected.fake.campaigns["111"]
    assert "do not exist on the platform: 222; correct" in missing()
    connected.fake.add("222")
    assert "do not exist" not in missing()
    del connected.fake.campaigns["222"]
    world.set_status(campaign, "archived")
    assert "do not exist" not in missing()
    assert connecting.check(connected.account).campaigns_here == 1
