"""Fixtures of webhooks."""

from tests.receivers.fixtures import local_webhooks, receiver

__all__ = ["local_webhooks", "receiver"]
