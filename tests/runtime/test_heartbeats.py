"""Heartbeats are shared by forked processes, and those that ended do not count."""

import os
import time

import pytest

from runtime.heartbeats import Heartbeats


def test_place_without_a_process_is_no_reason_to_be_unhealthy() -> None:
    assert Heartbeats(3).are_recent(0)


def test_place_whose_last_heartbeat_is_too_long_ago_is_noticed_until_its_process_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heartbeats = Heartbeats(2)
    now = 1_000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    heartbeats.beat(0)
    heartbeats.beat(1)
    now += 60
    assert heartbeats.are_recent(60)
    now += 1
    heartbeats.beat(0)
    assert not heartbeats.are_recent(60)
    heartbeats.end(1)
    assert heartbeats.are_recent(60)


def test_heartbeat_of_a_forked_process_is_seen_by_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    heartbeats = Heartbeats(1)
    monkeypatch.setattr(time, "monotonic", lambda: 1_000.0)
    heartbeats.beat(0)
    monkeypatch.setattr(time, "monotonic", lambda: 2_000.0)
    assert not heartbeats.are_recent(60)
    child = os.fork()
    if child == 0:
        heartbeats.beat(0)
        os._exit(0)
    os.waitpid(child, 0)
    assert heartbeats.are_recent(60)
