"""Settings are read from environment and files, and a bad value fails with one line that names its variable."""

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import create_engine

from runtime.settings import Settings, SettingsError, settings

POSTGRES = "postgresql://app:hidden@db.example:5432/spendgate"
REDIS = "redis://:hidden@queue.example:6379/0"
RABBITMQ = "amqp://app:hidden@queue.example:5672/spendgate"


def names() -> list[str]:
    return [str(field.validation_alias.choices[0]) for field in Settings.model_fields.values()]  # type: ignore[union-attr]


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Removes every setting from the environment and changes to an empty working directory."""
    for name in names():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    settings.cache_clear()
    yield
    settings.cache_clear()


def refusal() -> str:
    """Reads the settings and returns the message of the SettingsError they must raise."""
    settings.cache_clear()
    with pytest.raises(SettingsError) as refused:
        settings()
    return str(refused.value)


def bounds(name: str) -> dict[str, float]:
    """The smallest and the largest value of a setting, by the name of the constraint: ge, gt, le, lt."""
    parts = Settings.model_fields[name].metadata
    return {kind: getattr(part, kind) for part in parts for kind in ("ge", "gt", "le", "lt") if hasattr(part, kind)}


def is_number(name: str) -> bool:
    return Settings.model_fields[name].annotation in {int, float, int | None}


NUMBERS = [name for name in Settings.model_fields if is_number(name)]
"""The fields of settings that are numbers."""

DEFAULTS = {
    "DATABASE_URL": ("database_url", None),
    "REPLICA_DATABASE_URL": ("replica_database_url", None),
    "REDIS_URL": ("redis_url", None),
    "BROKER_URL": ("broker_url", None),
    "PORT": ("port", 8000),
    "LOG_LEVEL": ("log_level", "INFO"),
    "LOG_FORMAT": ("log_format", "json"),
    "SPENDGATE_LOG_HOOK": ("log_hook", None),
    "SPENDGATE_TRACING": ("tracing", False),
    "SPENDGATE_TRACES_A_SECOND": ("traces_a_second", 20),
    "SPENDGATE_HOME": ("home", Path(".spendgate")),
    "SPENDGATE_HOST": ("host", "127.0.0.1"),
    "SPENDGATE_TRUSTED_PROXIES": ("trusted_proxies", ""),
    "SPENDGATE_WEB_THREADS": ("web_threads", 16),
    "SPENDGATE_METRICS_HOST": ("metrics_host", "127.0.0.1"),
    "SPENDGATE_WORKER_METRICS_PORT": ("worker_metrics_port", 9191),
    "SPENDGATE_SCHEDULER_METRICS_PORT": ("scheduler_metrics_port", 9192),
    "SPENDGATE_WEBHOOK_ALLOW_HTTP": ("webhook_allow_http", False),
    "SPENDGATE_WEBHOOK_ALLOW_PRIVATE": ("webhook_allow_private", False),
    "SPENDGATE_OPEN_DASHBOARD": ("open_dashboard", False),
    "SPENDGATE_ENCRYPTION_KEYS": ("encryption_keys", None),
    "SPENDGATE_SECRET_KEY": ("secret_key", None),
    "SPENDGATE_MAX_BODY_BYTES": ("max_body_bytes", 8_388_608),
    "SPENDGATE_MAX_CONNECTIONS": ("max_connections", 1_000),
    "SPENDGATE_MAX_CONNECTIONS_PER_ADDRESS": ("max_connections_per_address", 200),
    "SPENDGATE_MAX_STREAMS": ("max_streams", 500),
    "SPENDGATE_MAX_STREAMS_PER_ADDRESS": ("max_streams_per_address", 50),
    "SPENDGATE_MAX_FOLLOWERS": ("max_followers", 2_000),
    "SPENDGATE_HEADER_TIMEOUT_SECONDS": ("header_timeout_seconds", 10),
    "SPENDGATE_BODY_TIMEOUT_SECONDS": ("body_timeout_seconds", 30),
    "SPENDGATE_SEND_TIMEOUT_SECONDS": ("send_timeout_seconds", 20),
    "SPENDGATE_API_REQUESTS_PER_MINUTE": ("api_requests_per_minute", 1_200),
    "SPENDGATE_MAX_MESSAGE_BYTES": ("max_message_bytes", 33_554_432),
    "SPENDGATE_WORKER_PROCESSES": ("worker_processes", 2),
    "SPENDGATE_WORKER_THREADS": ("worker_threads", 32),
    "SPENDGATE_SHUTDOWN_SECONDS": ("shutdown_seconds", 25),
    "SPENDGATE_KEEP_MESSAGES_MINUTES": ("keep_messages_minutes", 0),
    "SPENDGATE_KEEP_MESSAGES_MEGABYTES": ("keep_messages_megabytes", 256),
    "SPENDGATE_MAX_EVENT_AGE_DAYS": ("max_event_age_days", 35),
    "SPENDGATE_MAX_EVENT_AHEAD_SECONDS": ("max_event_ahead_seconds", 300),
    "SPENDGATE_MAX_TOTAL_AGE_DAYS": ("max_total_age_days", 1096),
    "SPENDGATE_LEDGER_RETENTION_MONTHS": ("ledger_retention_months", None),
    "SPENDGATE_LEDGER_RETENTION_DAYS": ("ledger_retention_days", None),
    "SPENDGATE_LEDGER_PARTITIONS": ("ledger_partitions", "month"),
    "SPENDGATE_REJECTED_RETENTION_DAYS": ("rejected_retention_days", None),
    "SPENDGATE_AUDIT_RETENTION_DAYS": ("audit_retention_days", None),
    "SPENDGATE_SPEND_FOLDER": ("spend_folder", None),
    "SPENDGATE_SPEND_FOLDER_QUIET_SECONDS": ("spend_folder_quiet_seconds", 60),
    "SPENDGATE_SPEND_FOLDER_ALLOW_FALLS": ("spend_folder_allow_falls", False),
    "SPENDGATE_GOOGLE_ADS_URL": ("google_ads_url", "https://googleads.googleapis.com"),
    "SPENDGATE_GOOGLE_ADS_VERSION": ("google_ads_version", "v26"),
    "SPENDGATE_GOOGLE_TOKEN_URL": ("google_token_url", "https://oauth2.googleapis.com/token"),
    "SPENDGATE_GOOGLE_ADS_OPERATIONS_A_DAY": ("google_ads_operations_a_day", 2_880),
    "SPENDGATE_META_URL": ("meta_url", "https://graph.facebook.com"),
    "SPENDGATE_META_VERSION": ("meta_version", "v26.0"),
    "SPENDGATE_PLATFORM_READ_SECONDS": ("platform_read_seconds", 3_600.0),
    "SPENDGATE_PLATFORM_HISTORY_SECONDS": ("platform_history_seconds", 300),
    "SPENDGATE_PLATFORM_DEADLINE_SECONDS": ("platform_deadline_seconds", 20.0),
    "SPENDGATE_STATEMENT_TIMEOUT_MS": ("statement_timeout_ms", 60_000),
    "SPENDGATE_LOCK_TIMEOUT_MS": ("lock_timeout_ms", 15_000),
    "SPENDGATE_INGEST_LOCK_TIMEOUT_MS": ("ingest_lock_timeout_ms", 500),
    "SPENDGATE_CITUS_SHARDS": ("citus_shards", 32),
    "SPENDGATE_SEQUENCE_GAP_SECONDS": ("sequence_gap_seconds", 300),
    "SPENDGATE_MAX_CLOCK_OFFSET_SECONDS": ("max_clock_offset_seconds", 10),
    "SPENDGATE_CLOCK_START": ("clock_start", None),
    "SPENDGATE_CLOCK_SPEED": ("clock_speed", 1.0),
}


def test_defaults_lists_every_setting() -> None:
    assert set(names()) == set(DEFAULTS)


@pytest.mark.parametrize(("variable", "expected"), DEFAULTS.items())
def test_unset_variable_has_its_default(variable: str, expected: tuple[str, object]) -> None:
    field, default = expected
    assert getattr(settings(), field) == default


@pytest.mark.parametrize(
    ("variable", "text", "field", "value"),
    [
        ("PORT", "9000", "port", 9000),
        ("LOG_LEVEL", "debug", "log_level", "DEBUG"),
        ("LOG_FORMAT", "console", "log_format", "console"),
        ("SPENDGATE_HOME", "/data", "home", Path("/data")),
        ("SPENDGATE_HOST", "0.0.0.0", "host", "0.0.0.0"),  # noqa: S104 - only read
        ("SPENDGATE_MAX_EVENT_AGE_DAYS", "7", "max_event_age", timedelta(days=7)),
        ("SPENDGATE_MAX_EVENT_AHEAD_SECONDS", "0", "max_event_ahead", timedelta(0)),
        ("SPENDGATE_MAX_TOTAL_AGE_DAYS", "90", "max_total_age", timedelta(days=90)),
        ("SPENDGATE_SPEND_FOLDER", "exports", "spend_folder", Path("exports")),
        ("SPENDGATE_CLOCK_START", "2026-03-01T01:00:00+01:00", "clock_start", datetime(2026, 3, 1, tzinfo=UTC)),
        ("SPENDGATE_CLOCK_SPEED", "2880", "clock_speed", 2880.0),
        ("SPENDGATE_OPEN_DASHBOARD", "true", "open_dashboard", True),
        ("SPENDGATE_SECRET_KEY", "k" * 32, "secret_key", "k" * 32),
        ("REDIS_URL", "rediss://queue.example/0", "redis_url", "rediss://queue.example/0"),
        ("REDIS_URL", "unix:///run/redis.sock", "redis_url", "unix:///run/redis.sock"),
        ("BROKER_URL", "amqps://queue.example/%2F", "broker_url", "amqps://queue.example/%2F"),
        ("BROKER_URL", "rediss://queue.example/0", "queue_url", "rediss://queue.example/0"),
    ],
)
def test_set_variable_is_read(
    monkeypatch: pytest.MonkeyPatch, variable: str, text: str, field: str, value: object
) -> None:
    monkeypatch.setenv(variable, text)
    assert getattr(settings(), field) == value


@pytest.mark.parametrize(
    ("hosts", "query", "host", "port", "target"),
    [
        ("a:5433,b", "", "a,b", "5433,5432", "read-write"),
        ("[::1]:5433,b.example:1", "?sslmode=require", "::1,b.example", "5433,1", "read-write"),
        ("a,b", "?target_session_attrs=any", "a,b", "5432,5432", "any"),
    ],
)
def test_several_hosts_of_postgres_are_read_and_one_that_takes_writes_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, hosts: str, query: str, host: str, port: str, target: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"postgresql://app:hid%40den@{hosts}/spendgate{query}")
    made = create_engine(settings().required_database_url())
    given = made.dialect.create_connect_args(made.url)[1]
    expected = {
        "host": host,
        "port": port,
        "target_session_attrs": target,
        "password": "hid@den",
        "dbname": "spendgate",
    }
    assert {name: given[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("variable", "bad"),
    [
        ("DATABASE_URL", "postgresql://app:hidden@a,,b/spendgate"),
        ("DATABASE_URL", "postgresql://app:hidden@a:port,b/spendgate"),
        ("DATABASE_URL", "mysql://app:hidden@db.example/spendgate"),
        ("DATABASE_URL", "app:hidden@db.example/spendgate"),
        ("DATABASE_URL", "postgresql://app:hidden@db.example:port/spendgate"),
        ("REPLICA_DATABASE_URL", "postgresql://app:hidden@db.example:port/spendgate"),
        ("REDIS_URL", "http://:hidden@queue.example"),
        ("REDIS_URL", "redis://:hidden@queue.example:port/0"),
        ("REDIS_URL", "amqp://app:hidden@queue.example/0"),
        ("BROKER_URL", "http://app:hidden@queue.example"),
        ("BROKER_URL", "amqp://app:hidden@queue.example:port/0"),
        ("PORT", "eighty"),
        ("PORT", "65536"),
        ("LOG_LEVEL", "LOUD"),
        ("LOG_FORMAT", "xml"),
        ("SPENDGATE_WEB_THREADS", "0"),
        ("SPENDGATE_OPEN_DASHBOARD", "perhaps"),
        ("SPENDGATE_SECRET_KEY", "k" * 31),
        ("SPENDGATE_MAX_BODY_BYTES", "1"),
        ("SPENDGATE_TRUSTED_PROXIES", "proxy.example.com"),
        ("SPENDGATE_MAX_CONNECTIONS", "0"),
        ("SPENDGATE_MAX_STREAMS_PER_ADDRESS", "many"),
        ("SPENDGATE_HEADER_TIMEOUT_SECONDS", "0"),
        ("SPENDGATE_API_REQUESTS_PER_MINUTE", "0"),
        ("SPENDGATE_MAX_MESSAGE_BYTES", "65535"),
        ("SPENDGATE_WORKER_PROCESSES", "0"),
        ("SPENDGATE_WORKER_THREADS", "65"),
        ("SPENDGATE_SHUTDOWN_SECONDS", "1.5"),
        ("SPENDGATE_MAX_EVENT_AGE_DAYS", "0"),
        ("SPENDGATE_MAX_EVENT_AHEAD_SECONDS", "-1"),
        ("SPENDGATE_MAX_TOTAL_AGE_DAYS", "0"),
        ("SPENDGATE_LEDGER_RETENTION_MONTHS", "1"),
        ("SPENDGATE_LEDGER_RETENTION_DAYS", "34"),
        ("SPENDGATE_LEDGER_PARTITIONS", "week"),
        ("SPENDGATE_STATEMENT_TIMEOUT_MS", "soon"),
        ("SPENDGATE_LOCK_TIMEOUT_MS", "0"),
        ("SPENDGATE_CLOCK_START", "2026-03-01T00:00:00"),
        ("SPENDGATE_CLOCK_START", "tomorrow"),
        ("SPENDGATE_CLOCK_SPEED", "0"),
        ("SPENDGATE_CLOCK_SPEED", "nan"),
    ],
)
def test_bad_value_is_refused_in_one_line_with_the_variable_and_without_secrets(
    monkeypatch: pytest.MonkeyPatch, variable: str, bad: str
) -> None:
    monkeypatch.setenv(variable, bad)
    message = refusal()
    assert message.startswith(f"{variable}: ")
    assert "\n" not in message
    assert "hidden" not in message


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_database_url_accepts_the_usual_schemes_of_postgres(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    monkeypatch.setenv("DATABASE_URL", f"{scheme}://app:hidden@db.example:5432/spendgate")
    assert settings().required_database_url() == "postgresql+psycopg://app:hidden@db.example:5432/spendgate"


@pytest.mark.parametrize("variable", ["DATABASE_URL", "REDIS_URL", "BROKER_URL"])
def test_empty_url_counts_as_unset(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "")
    assert getattr(settings(), DEFAULTS[variable][0]) is None


def test_missing_server_is_refused_in_one_line_with_its_variable() -> None:
    with pytest.raises(SettingsError, match=r"^DATABASE_URL: not set.*spendgate up`?$"):
        settings().required_database_url()
    with pytest.raises(SettingsError, match=r"^REDIS_URL: not set.*spendgate up`?$"):
        settings().required_redis_url()


@pytest.mark.parametrize(
    ("broker_url", "queue_url", "is_rabbitmq"),
    [(None, REDIS, False), (RABBITMQ, RABBITMQ, True), ("redis://other.example/1", "redis://other.example/1", False)],
)
def test_queue_url_is_broker_url_or_else_redis_url(
    monkeypatch: pytest.MonkeyPatch, broker_url: str | None, queue_url: str, is_rabbitmq: bool
) -> None:
    monkeypatch.setenv("DATABASE_URL", POSTGRES)
    monkeypatch.setenv("REDIS_URL", REDIS)
    if broker_url is not None:
        monkeypatch.setenv("BROKER_URL", broker_url)
    assert (settings().required_queue_url(), settings().queue_is_rabbitmq) == (queue_url, is_rabbitmq)
    assert settings().required_redis_url() == REDIS


def test_queue_url_of_rabbitmq_works_without_redis_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", POSTGRES)
    with pytest.raises(SettingsError, match=r"^REDIS_URL: not set"):
        settings().required_queue_url()
    monkeypatch.setenv("BROKER_URL", RABBITMQ)
    settings.cache_clear()
    assert settings().required_queue_url() == RABBITMQ


def test_env_file_is_read_and_the_environment_overrides_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"DATABASE_URL={POSTGRES}\nREDIS_URL={REDIS}\nPORT=9000\nSOMETHING_ELSE=1\n")
    monkeypatch.setenv("PORT", "9001")
    assert settings().required_redis_url() == REDIS
    assert settings().required_database_url().endswith("@db.example:5432/spendgate")
    assert settings().port == 9001


def test_settings_find_running_embedded_servers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write_embedded(tmp_path)
    monkeypatch.setenv("SPENDGATE_HOME", str(tmp_path))
    assert settings().required_database_url() == POSTGRES.replace("postgresql", "postgresql+psycopg")
    assert settings().required_redis_url() == REDIS


@pytest.mark.parametrize(
    ("given", "url", "missing"), [("DATABASE_URL", POSTGRES, "REDIS_URL"), ("REDIS_URL", REDIS, "DATABASE_URL")]
)
def test_url_of_one_server_is_not_combined_with_the_other_embedded_server(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, given: str, url: str, missing: str
) -> None:
    write_embedded(tmp_path)
    monkeypatch.setenv("SPENDGATE_HOME", str(tmp_path))
    monkeypatch.setenv(given, url)
    with pytest.raises(SettingsError, match=f"^{missing}: not set"):
        _ = settings().required_database_url(), settings().required_redis_url()


def test_empty_file_of_embedded_servers_counts_as_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "env").write_text("\n")
    monkeypatch.setenv("SPENDGATE_HOME", str(tmp_path))
    assert settings().database_url is None


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError):
        settings().port = 1  # type: ignore[misc]


def test_variables_of_the_shell_without_our_prefix_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    for field, text in (("HOME", "/home/person"), ("HOST", "0.0.0.0"), ("WORKER_THREADS", "64"), ("home", "/tmp")):  # noqa: S104, S108 - only read
        monkeypatch.setenv(field, text)
    assert (settings().home, settings().host, settings().worker_threads) == (Path(".spendgate"), "127.0.0.1", 32)


@pytest.mark.parametrize("variable", ["SPENDGATE_CLOCK_START", "SPENDGATE_CLOCK_SPEED"])
def test_driven_clock_is_refused_without_embedded_servers(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv("DATABASE_URL", POSTGRES)
    monkeypatch.setenv("REDIS_URL", REDIS)
    monkeypatch.setenv(variable, {"SPENDGATE_CLOCK_START": "2026-03-01T00:00:00Z"}.get(variable, "60"))
    assert refusal().startswith(f"{variable}: ")


@pytest.mark.parametrize(
    ("url", "is_accepted"),
    [
        (POSTGRES, True),
        (POSTGRES.replace("/spendgate", "/another"), True),
        (POSTGRES.replace("app:hidden", "spendgate_worker:other"), True),
        (f"{POSTGRES}?sslmode=prefer", True),
        (POSTGRES.replace("db.example", "another.example"), False),
        (POSTGRES.replace(":5432", ":5433"), False),
        (f"{POSTGRES}?host=another.example", False),
        (f"{POSTGRES}?hostaddr=192.0.2.1", False),
        (f"{POSTGRES}?port=5433", False),
    ],
)
def test_driven_clock_is_accepted_with_any_login_and_database_of_the_embedded_server(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, url: str, is_accepted: bool
) -> None:
    write_embedded(tmp_path)
    monkeypatch.setenv("SPENDGATE_HOME", str(tmp_path))
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("REDIS_URL", REDIS)
    monkeypatch.setenv("SPENDGATE_CLOCK_SPEED", "60")
    if is_accepted:
        assert settings().clock_is_driven
    else:
        assert refusal().startswith("SPENDGATE_CLOCK_SPEED: ")


def write_embedded(home: Path) -> None:
    (home / "env").write_text(f"DATABASE_URL={POSTGRES}\nREDIS_URL={REDIS}\n")


@pytest.mark.parametrize("variable", ["PORT", "SPENDGATE_HOME", "SPENDGATE_SPEND_FOLDER", "DATABASE_URL"])
def test_blank_value_counts_as_unset(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.delenv(variable, raising=False)
    without = Settings()
    monkeypatch.setenv(variable, "")
    assert Settings() == without


@pytest.mark.parametrize("host", ["::1", "::", "fe80::1%lo", "127.9.9.9", "localhost", "web-1.example.com", "[::1]"])
def test_host_may_be_an_ipv4_or_ipv6_address_or_a_name(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("SPENDGATE_HOST", host)
    assert settings().host == host.strip("[]")


@pytest.mark.parametrize(
    "host",
    ["999.1.1.1", "127.0.0", "1", "::g", "[::1", "http://127.0.0.1", "127.0.0.1:80", "a b", "-a", "*"],
)
def test_malformed_host_is_refused(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("SPENDGATE_HOST", host)
    assert refusal().startswith("SPENDGATE_HOST: ")


def as_a_folder(path: Path) -> None:
    path.mkdir()


def in_latin_1(path: Path) -> None:
    path.write_bytes("LOG_LEVEL=DEBUG # für uns\n".encode("latin-1"))


def in_utf_16(path: Path) -> None:
    path.write_text("LOG_LEVEL=DEBUG\n", "utf-16")


def as_a_pipe(path: Path) -> None:
    os.mkfifo(path)


def as_a_dangling_link(path: Path) -> None:
    path.symlink_to(path.parent / "gone")


def with_a_nul(path: Path) -> None:
    path.write_text("SPENDGATE_HOME=a\0b\n")


UNREADABLE = [as_a_folder, in_latin_1, in_utf_16, as_a_pipe, as_a_dangling_link, with_a_nul]


@pytest.mark.parametrize("make", UNREADABLE)
def test_unreadable_env_file_is_refused(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / ".env")
    assert refusal().startswith(".env: ")


def test_env_file_without_read_permission_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("LOG_LEVEL=DEBUG\n")
    read = Path.read_text

    def refuse(path: Path, *arguments: Any) -> str:  # tests may run as root, which can read every file
        if path.name == ".env":
            raise PermissionError(13, "Permission denied", str(path))
        return read(path, *arguments)

    monkeypatch.setattr(Path, "read_text", refuse)
    assert refusal() == ".env: cannot be read: Permission denied"


def test_env_file_with_a_byte_order_mark_is_read_from_its_first_line(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("LOG_LEVEL=DEBUG\n", "utf-8-sig")
    assert settings().log_level == "DEBUG"


@pytest.mark.parametrize("content", [b"\xff\xfe", b"DATABASE_URL=mysql://u:hidden@h/x\n"])
def test_malformed_file_of_embedded_servers_is_refused_without_secrets(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "env").write_bytes(content)
    monkeypatch.setenv("SPENDGATE_HOME", str(tmp_path))
    assert refusal().startswith("SPENDGATE_HOME: ")
    assert "hidden" not in refusal()


def variable_of(name: str) -> str:
    return str(Settings.model_fields[name].validation_alias.choices[0])  # type: ignore[union-attr]


@pytest.mark.parametrize("name", NUMBERS)
def test_number_beyond_its_bounds_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    variable, (_, largest) = variable_of(name), bounds(name).values()
    for beyond in (int(largest) + 1, 10**12, 10**30, -1):
        monkeypatch.setenv(variable, str(beyond))
        assert refusal().startswith(f"{variable}: ")
