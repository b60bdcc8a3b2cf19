"""`spendgate secrets re-encrypt` and `spendgate platform credentials|mode`."""

import json
from pathlib import Path

import pytest

from cli.fake_platforms.state import FakePlatform
from db.repository.access.kept_secrets import KEPT
from runtime import encryption
from runtime.settings import settings
from tests.cli.conftest import Spendgate
from tests.cli.test_platforms import connect
from tests.fake_platforms.fixtures import SECRETS
from tests.world import World


def use_keys(monkeypatch: pytest.MonkeyPatch, *keys: str) -> None:
    monkeypatch.setenv("SPENDGATE_ENCRYPTION_KEYS", ",".join(keys))
    settings.cache_clear()


def test_kept_secret_is_re_encrypted_after_a_new_key_and_needs_the_old_one_no_longer(
    world: World,
    spendgate: Spendgate,
    fake: FakePlatform,
    credentials_file: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old, new = encryption.new_key(), encryption.new_key()
    use_keys(monkeypatch, old)
    account = connect(spendgate, fake, credentials_file, world.brand())
    kept = spendgate("platform", "credentials", account, "--stdin", stdin=json.dumps(SECRETS))
    assert (kept.code, "kept encrypted" in kept.out) == (0, True)
    use_keys(monkeypatch, new, old)
    dry = spendgate("secrets", "re-encrypt", "--dry-run", "--json").data
    assert dry == {"re_encrypted": 1, "current": 0, "unreadable": [], "dry_run": True}
    assert spendgate("secrets", "re-encrypt", "--dry-run", "--json").data == dry
    assert "1 secret re-encrypted" in spendgate("secrets", "re-encrypt").out
    assert "0 secrets re-encrypted, 1 encrypted with the first key already" in spendgate("secrets", "re-encrypt").out
    use_keys(monkeypatch, new)
    assert spendgate("platform", "check", account).code == 0
    use_keys(monkeypatch, old)
    lost = spendgate("secrets", "re-encrypt")
    assert (lost.code, f"credentials of platform account {account}: no key decrypts it" in lost.out) == (1, True)


def test_re_encryption_without_a_key_is_one_clear_line(spendgate: Spendgate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPENDGATE_ENCRYPTION_KEYS", "")
    settings.cache_clear()
    refused = spendgate("secrets", "re-encrypt")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert refused.err.startswith("SPENDGATE_ENCRYPTION_KEYS: not set")


def test_kept_credentials_are_shown_by_no_command(
    world: World, spendgate: Spendgate, fake: FakePlatform, credentials_file: Path
) -> None:
    account = connect(spendgate, fake, credentials_file, world.brand())
    shown = [spendgate("platform", "credentials", account, "--stdin", stdin=json.dumps(SECRETS))]
    shown += [spendgate("platform", "credentials", account, "--stdin", stdin='{"refresh_token": "1//half')]
    shown += [spendgate("platform", *words, account) for words in (["check"], ["check", "--json"])]
    shown += [spendgate("platform", "list"), spendgate("platform", "list", "--json")]
    assert [one.code for one in shown] == [0, 2, 0, 0, 0, 0]
    text = "".join(one.out + one.err for one in shown)
    assert [secret for secret in (*SECRETS.values(), "1//half") if secret in text] == []
    assert spendgate("platform", "credentials", account).code == 2


def test_mode_is_previewed_then_set_with_yes(
    world: World, spendgate: Spendgate, fake: FakePlatform, credentials_file: Path
) -> None:
    brand = world.brand()
    account = connect(spendgate, fake, credentials_file, brand)
    campaign = world.campaign(brand, platform="google_ads", external_id="11", account=fake.account_id)
    fake.add("11")
    world.set_status(campaign, "paused")
    assert "not known yet" in spendgate("platform", "mode", account, "full", "--dry-run").out
    spendgate("platform", "reconcile", account)
    dry = spendgate("platform", "mode", account, "full", "--dry-run")
    assert "Mode shadow → full: Spendgate will pause 1 campaign on Google Ads" in dry.out
    refused = spendgate("platform", "mode", account, "full")
    assert (refused.code, "--yes: add --yes" in refused.err) == (2, True)
    assert spendgate("platform", "list", "--json").data[0]["mode"] == "shadow"
    assert spendgate("platform", "mode", account, "full", "--yes").code == 0
    assert spendgate("platform", "list", "--json").data[0]["mode"] == "full"
    assert spendgate("platform", "mode", "404", "full", "--yes").code == 2


ENCRYPTED = """
    SELECT EXISTS (SELECT 1 FROM {table} WHERE {column}::text LIKE 'gAAAA%%')
"""


def test_every_column_that_holds_an_encrypted_secret_is_re_encrypted(
    world: World, spendgate: Spendgate, fake: FakePlatform, credentials_file: Path
) -> None:
    account = connect(spendgate, fake, credentials_file, world.brand())
    assert spendgate("platform", "credentials", account, "--stdin", stdin=json.dumps(SECRETS)).code == 0
    mail = "mailto://ops:secret@127.0.0.1:2525/?to=ops@example.com"
    assert spendgate("alerts", "channel", "add", "mail", "--url-stdin", stdin=mail).code == 0
    added = spendgate("webhook", "add", "https://example.com/hook", "--json")
    assert spendgate("webhook", "rotate", str(added.data["endpoint"])).code == 0
    columns = world.rows(
        "SELECT table_name, column_name FROM information_schema.columns"
        " WHERE table_schema = current_schema() AND data_type IN ('text', 'jsonb')"
    )
    found = {
        (row["table_name"], row["column_name"])
        for row in columns
        if world.one(ENCRYPTED.format(table=row["table_name"], column=row["column_name"]))["exists"]
    }
    assert found == {(kept.table, kept.column) for kept in KEPT}
    assert spendgate("secrets", "re-encrypt", "--json").data["current"] == len(KEPT)
