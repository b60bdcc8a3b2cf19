"""Logins at Google by a service account, against the fake platform, and without the extra."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from app.platforms.adapters import google_login
from app.platforms.adapters.google_ads import GoogleAds
from app.platforms.credentials import credentials_at
from app.platforms.protocol import Account, LoginFailed, PlatformError
from cli.fake_platforms.state import FakePlatform
from domain.errors import InvalidValue

GOOGLE = GoogleAds()


@pytest.fixture(scope="session")
def private_key() -> str:
    """The private key of a service account, as PEM."""
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    plain = serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain).decode()


@pytest.fixture
def account(fake: FakePlatform, tmp_path: Path, private_key: str) -> Account:
    """The account of the fake platform, with a service account's file as Google's console writes it."""
    key = serialization.load_pem_private_key(private_key.encode(), None)
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    fake.service_account_key = key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()
    return account_with(fake, tmp_path, private_key)


def account_with(fake: FakePlatform, folder: Path, private_key: str, **more: str) -> Account:
    content = {
        "type": "service_account",
        "private_key_id": "key-1",
        "private_key": private_key,
        "client_email": fake.service_account,
        "token_uri": "https://elsewhere.example/token",
        **more,
    }
    path = folder / "service-account.json"
    path.write_text(json.dumps(content))
    return Account(1, "google_ads", fake.account_id, credentials_at(f"file:{path}"))


def test_service_account_logs_in_once_for_many_requests(account: Account, fake: FakePlatform) -> None:
    fake.add("11")
    assert list(GOOGLE.read_statuses(account)) == ["11"]
    GOOGLE.read_statuses(account)
    assert len(fake.requests("token")) == 1
    assert "login-customer-id" not in fake.requests("search")[0].headers


def test_manager_account_is_named_where_it_is_set(fake: FakePlatform, account: Account, tmp_path: Path) -> None:
    manager = account_with(
        fake, tmp_path, account.credentials.required("private_key"), login_customer_id="987-654-3210"
    )
    GOOGLE.read_statuses(manager)
    assert fake.requests("search")[0].headers["login-customer-id"] == "9876543210"


@pytest.mark.parametrize("fault", ["", "500", "429", "hang"])
def test_refused_login_shows_no_key(account: Account, fake: FakePlatform, private_key: str, fault: str) -> None:
    fake.is_revoked = True
    if fault:
        fake.fail("token", fault)
    with pytest.raises(PlatformError) as caught:
        GOOGLE.read_statuses(account)
    assert isinstance(caught.value, LoginFailed) == (not fault)
    assertion = fake.requests("token")[0].body["assertion"]
    seen = f"{caught.value!r} {caught.value.__cause__!r} {caught.value.__context__!r} {account!r}"
    assert not [secret for secret in (private_key, private_key.splitlines()[1], assertion) if secret in seen]
    assert not [one.path for one in fake.received if assertion in one.path]


@pytest.mark.parametrize("key", ["no key", "-----BEGIN PRIVATE KEY-----\nMIIsecret\n-----END PRIVATE KEY-----\n"])
def test_key_that_cannot_be_used_is_named_without_its_content(fake: FakePlatform, tmp_path: Path, key: str) -> None:
    with pytest.raises(InvalidValue, match="private key cannot be used") as caught:
        GOOGLE.read_statuses(account_with(fake, tmp_path, key))
    assert key not in f"{caught.value!r} {caught.value.__cause__!r}"
    assert fake.received == []


WITHOUT_EXTRA = """
import sys
sys.modules["google.auth"] = None
from app.platforms.credentials import credentials_at
from app.platforms.adapters.google_ads import GoogleAds
from app.platforms.protocol import Account
from domain.errors import InvalidValue
try:
    GoogleAds().read_statuses(Account(1, "google_ads", "1", credentials_at(sys.argv[1])))
except InvalidValue as error:
    print(error)
"""


def test_missing_extra_is_named_in_one_line(account: Account) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", WITHOUT_EXTRA, account.credentials.reference],
        capture_output=True,
        text=True,
        check=True,
    )
    assert google_login.NO_EXTRA in done.stdout
    assert done.stdout.count("\n") == 1
