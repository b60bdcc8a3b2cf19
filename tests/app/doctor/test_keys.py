"""The doctor finds kept secrets that no key decrypts."""

import pytest

from app import key_rotation
from app.doctor import keys
from app.doctor.findings import Verdict
from runtime import encryption
from runtime.settings import settings
from tests.world import World


@pytest.fixture
def kept(world: World) -> World:
    """A webhook endpoint with a secret that the first key encrypted."""
    world.execute(
        "INSERT INTO webhook_endpoints (url, secret, types) VALUES ('https://x.example', %s, '{campaign.paused}')",
        encryption.encrypted("a secret"),
    )
    return world


def use_keys(patch: pytest.MonkeyPatch, *some: str) -> None:
    patch.setenv("SPENDGATE_ENCRYPTION_KEYS", ",".join(some))
    settings.cache_clear()


def test_kept_secret_without_its_key_is_wrong(kept: World, monkeypatch: pytest.MonkeyPatch) -> None:
    del kept
    use_keys(monkeypatch, encryption.new_key())
    (found,) = keys.findings()
    assert found.verdict is Verdict.WRONG
    assert "secret of webhook endpoint 1" in found.found
    monkeypatch.delenv("SPENDGATE_ENCRYPTION_KEYS")
    settings.cache_clear()
    (found,) = keys.findings()
    assert (found.verdict, "1 secrets are kept" in found.found) == (Verdict.WRONG, True)


def test_keys_rotate_with_overlap(kept: World, monkeypatch: pytest.MonkeyPatch) -> None:
    del kept
    (old,), new = settings().required_encryption_keys(), encryption.new_key()
    use_keys(monkeypatch, new, old)
    (found,) = keys.findings()
    assert (found.verdict, "1 kept secrets need an older one" in found.found) == (Verdict.RIGHT, True)
    key_rotation.re_encrypt()
    use_keys(monkeypatch, new)
    (found,) = keys.findings()
    assert (found.verdict, "decrypts all 1 kept secrets" in found.found) == (Verdict.RIGHT, True)
