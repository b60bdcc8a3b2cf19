"""Programs that call the API of an app in this process, each with its own key."""

from collections.abc import Callable, Iterator
from functools import lru_cache
from threading import Thread
from typing import Any

import psycopg
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from domain.access import KeyScope
from tests.world import World, eventually

Program = Callable[..., TestClient]
ALL_SCOPES = tuple(KeyScope)


@lru_cache(maxsize=1)
def _app() -> FastAPI:
    """One app for all tests; it keeps no state about the database."""
    from web.app import create_app  # noqa: PLC0415 - after the environment is set

    return create_app()


@pytest.fixture
def program(world: World) -> Iterator[Program]:
    """Makes a client that sends a key with these scopes, of one brand or of all."""
    from app import access  # noqa: PLC0415 - after the environment is set

    clients: list[TestClient] = []

    def program(*scopes: KeyScope, brand: int | None = None, name: str = "bidder") -> TestClient:
        _, key = access.create_key(name, scopes or ALL_SCOPES, "test", brand_id=brand)
        clients.append(TestClient(_app(), headers={"Authorization": f"Bearer {key}"}, raise_server_exceptions=False))
        return clients[-1]

    yield program
    for client in clients:
        client.close()


@pytest.fixture
def client(program: Program) -> TestClient:
    """A program whose key has all scopes and all brands."""
    return program()


def operations(openapi: dict[str, Any]) -> list[tuple[str, str]]:
    """Every method and path of the API, by its OpenAPI."""
    paths = openapi["paths"]
    return [(method.upper(), path) for path, item in paths.items() if path.startswith("/api/") for method in item]


def held_up(world: World, lock: str, *jobs: Callable[[], object]) -> None:
    """Runs the jobs in threads, releases `lock` when all of them wait for it, and waits until they end."""
    threads = [Thread(target=job) for job in jobs]
    with psycopg.connect(world.url) as other:
        other.execute(lock.encode())
        for thread in threads:
            thread.start()
        eventually(lambda: world.waits(len(jobs)))
    for thread in threads:
        thread.join()
