"""Reads new status changes and notices for an endpoint and makes deliveries: of each campaign, the newest status."""

from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from app.notices.bodies import exhausted_fields
from db.repository.notices import endpoint_edits, feeds
from db.repository.notices.endpoints import Endpoint
from db.repository.notices.feeds import Change, Status
from db.repository.reading import status_feed
from domain.notices.message_types import OF_CHANGES, MessageType, exhausted_budgets, type_of_status, urgency_of

CHANGES_A_PAGE: Final = 2_000


def read_page(connection: Connection, endpoint: Endpoint, at: datetime) -> tuple[Endpoint, bool]:
    """Makes deliveries of the next CHANGES_A_PAGE status changes and of all new notices, and stores their last ids.

    Returns the endpoint with these ids, and whether more status changes may follow. After a restored backup, whose ids
    do not continue those read before, goes on after the newest change, with deliveries of every campaign's present
    status. The caller has locked the endpoint's row.
    """
    epoch = status_feed.epoch(connection)
    if endpoint.feed_epoch not in {None, epoch}:
        return _start_over(connection, endpoint, epoch, at), False
    found: list[Change] = []
    if OF_CHANGES & set(endpoint.types):
        needs_details = MessageType.BUDGET_EXHAUSTED in endpoint.types
        found = feeds.changes(connection, endpoint, CHANGES_A_PAGE, needs_details=needs_details)
        _add(connection, endpoint, found, at)
    last_change = found[-1].id if found else endpoint.after_change_id
    return _moved(connection, endpoint, last_change, epoch, at), len(found) == CHANGES_A_PAGE


def read_notices(connection: Connection, endpoint: Endpoint, at: datetime) -> int:
    """Makes deliveries of all new notices, and returns the id of the last one. Does not store this id."""
    last = feeds.last_notice(connection)
    if last > endpoint.after_notice_id:
        feeds.add_notices(connection, endpoint, last, at)
    return max(last, endpoint.after_notice_id)


def _add(connection: Connection, endpoint: Endpoint, found: list[Change], at: datetime) -> None:
    newest = {change.campaign_id: change for change in found}
    if newest:
        feeds.supersede(connection, endpoint.id, newest.keys(), at)
    statuses = [
        Status(message_type, urgency_of(message_type), change)
        for change in newest.values()
        if (message_type := type_of_status(change.to_status)) in endpoint.types
    ]
    if statuses:
        feeds.add_statuses(connection, endpoint.id, statuses, at)
    exhausted = {
        budget.key(change.brand_id): (budget, change)
        for change in reversed(found)
        for budget in exhausted_budgets(
            change.campaign_id, change.holds_before, change.holds_after, change.details or {}
        )
    }
    for key, (budget, change) in reversed(exhausted.items()):
        body = exhausted_fields(budget)
        feeds.add_once(connection, endpoint.id, MessageType.BUDGET_EXHAUSTED, key, change, body, at)


def _start_over(connection: Connection, endpoint: Endpoint, epoch: str, at: datetime) -> Endpoint:
    """Moves to the ends of both feeds, and makes a delivery of every campaign's newest status.

    Returns the endpoint with its new positions.
    """
    last = status_feed.last_id(connection)
    feeds.supersede(connection, endpoint.id, None, at)
    if OF_CHANGES & set(endpoint.types):
        endpoint_edits.resend_statuses(connection, endpoint, 0, last, at)
    begun = endpoint._replace(after_notice_id=min(endpoint.after_notice_id, feeds.last_notice(connection)))
    return _moved(connection, begun, last, epoch, at)


def _moved(connection: Connection, endpoint: Endpoint, change_id: int, epoch: str, at: datetime) -> Endpoint:
    notice_id = read_notices(connection, endpoint, at)
    moved = endpoint._replace(after_change_id=change_id, after_notice_id=notice_id, feed_epoch=epoch)
    if moved != endpoint:
        feeds.move(connection, endpoint.id, change_id, notice_id, epoch)
    return moved
