"""Encryption of the secrets that the database stores: Fernet, with several keys during a rotation."""

from typing import Final

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from runtime.settings import SettingsError, settings

VARIABLE: Final = "SPENDGATE_ENCRYPTION_KEYS"


def new_key() -> str:
    """A new key for SPENDGATE_ENCRYPTION_KEYS."""
    return Fernet.generate_key().decode()


def encrypted(secret: str) -> str:
    """The secret, encrypted with the first key. Raises SettingsError without a key."""
    return _keys().encrypt(secret.encode()).decode()


def decrypted(kept: str) -> str:
    """The secret in the encrypted text `kept`. Raises SettingsError without a key, or if no key decrypts it."""
    try:
        return _keys().decrypt(kept.encode()).decode()
    except InvalidToken:
        raise SettingsError(f"{VARIABLE}: no key decrypts a kept secret; add the key that encrypted it") from None


def is_current(kept: str) -> bool:
    """Whether the first key decrypts the encrypted text `kept`. Raises SettingsError without a key."""
    try:
        Fernet(settings().required_encryption_keys()[0]).decrypt(kept.encode())
    except InvalidToken:
        return False
    return True


def re_encrypted(kept: str) -> str:
    """The encrypted text `kept`, encrypted with the first key. Raises SettingsError without a key that decrypts it."""
    return encrypted(decrypted(kept))


def _keys() -> MultiFernet:
    return MultiFernet([Fernet(key) for key in settings().required_encryption_keys()])
