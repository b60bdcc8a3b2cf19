"""Fixtures of webhooks: a receiver on this machine, and the settings that let messages go there."""

from collections.abc import Iterator

import pytest

from runtime.settings import settings
from tests.receivers.server import Receiver, receiving


@pytest.fixture
def local_webhooks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Lets this process and those it starts send webhooks over http to this machine."""
    monkeypatch.setenv("SPENDGATE_WEBHOOK_ALLOW_HTTP", "true")
    monkeypatch.setenv("SPENDGATE_WEBHOOK_ALLOW_PRIVATE", "true")
    settings.cache_clear()
    yield
    settings.cache_clear()


@pytest.fixture
def receiver(local_webhooks: None) -> Iterator[Receiver]:
    """A receiver of webhooks on 127.0.0.1."""
    with receiving() as made:
        yield made
