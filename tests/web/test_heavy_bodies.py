"""JSON that takes long to decode delays no other request."""

from collections.abc import Callable
from threading import Event, Thread

import httpx2 as httpx

from domain.access import KeyScope
from tests.web.conftest import Browse
from tests.world import World

SLOW = b"[" + b'{"a":NaN},' * 180_000 + b"1]"
"""A body that is decoded by the slow reader, in about a second."""

BODIES = 6


def key(*scopes: KeyScope) -> dict[str, str]:
    from app import access  # noqa: PLC0415 - after the environment is set

    return {
        "Authorization": f"Bearer {access.create_key('sender', scopes, 'test')[1]}",
        "Content-Type": "application/json",
    }


def in_thread(work: Callable[[], object]) -> Thread:
    thread = Thread(target=work)
    thread.start()
    return thread


def test_healthz_is_answered_while_bodies_are_decoded(world: World, browse: Browse) -> None:
    headers = key(KeyScope.SPEND_WRITE)
    with browse() as client:
        is_over, statuses = Event(), []

        def ask() -> None:
            with httpx.Client(base_url=client.base_url, timeout=120) as probe:
                while not is_over.is_set():
                    statuses.append(probe.get("/healthz").status_code)

        def send() -> None:
            sent = httpx.post(client.base_url.join("/api/spend/"), content=SLOW, headers=headers, timeout=120)
            refused.append(sent.status_code)

        refused: list[int] = []
        asking = in_thread(ask)
        for sending in [in_thread(send) for _ in range(BODIES)]:
            sending.join()
        is_over.set()
        asking.join()
        assert refused == [422] * BODIES
        assert set(statuses) == {200}
        assert len(statuses) > 5 * BODIES  # a blocked event loop answers about one between two bodies
