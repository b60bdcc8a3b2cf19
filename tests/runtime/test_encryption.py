"""Encryption of kept secrets, and the rotation of its keys."""

import pytest

from runtime import encryption
from runtime.settings import SettingsError, settings

KEPT = "a token with 'ünïcode' and \n lines"


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """Two keys; the first is set."""
    old, new = encryption.new_key(), encryption.new_key()
    _set(monkeypatch, old)
    return old, new


def _set(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("SPENDGATE_ENCRYPTION_KEYS", value)
    settings.cache_clear()


def test_secret_is_kept_encrypted_and_read_back(keys: tuple[str, str]) -> None:
    kept = encryption.encrypted(KEPT)
    assert "token" not in kept
    assert kept != encryption.encrypted(KEPT)
    assert encryption.decrypted(kept) == KEPT


def test_old_secrets_are_read_during_a_rotation_and_not_after_it(
    keys: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = keys
    kept = encryption.encrypted(KEPT)
    _set(monkeypatch, f"{new}, {old}")
    again = encryption.re_encrypted(kept)
    assert (encryption.decrypted(kept), encryption.decrypted(again)) == (KEPT, KEPT)
    _set(monkeypatch, new)
    assert encryption.decrypted(again) == KEPT
    with pytest.raises(SettingsError, match=r"^SPENDGATE_ENCRYPTION_KEYS: no key decrypts") as refused:
        encryption.decrypted(kept)
    assert kept not in str(refused.value)


def test_changed_secret_is_refused(keys: tuple[str, str]) -> None:
    kept = encryption.encrypted(KEPT)
    changed = kept[:40] + ("A" if kept[40] != "A" else "B") + kept[41:]
    with pytest.raises(SettingsError):
        encryption.decrypted(changed)


def test_without_a_key_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    _set(monkeypatch, "")
    with pytest.raises(SettingsError, match=r"^SPENDGATE_ENCRYPTION_KEYS: not set.*new-encryption-key"):
        encryption.encrypted(KEPT)


@pytest.mark.parametrize("value", ["short", "A" * 44, ",", "A" * 42 + "B="])
def test_wrong_key_stops_the_start(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    _set(monkeypatch, value)
    with pytest.raises(SettingsError, match=r"^SPENDGATE_ENCRYPTION_KEYS: expected keys"):
        settings()
