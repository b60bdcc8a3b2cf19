"""Settings of a process, read once from the environment, `.env` and the embedded servers' file, and then frozen."""

import os
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import AliasChoices, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict

from runtime.setting_types import (
    ApiVersion,
    AwareMoment,
    BrokerUrl,
    EncryptedUrl,
    EncryptionKeys,
    HostAddress,
    LogLevel,
    Networks,
    OptionalText,
    PostgresUrl,
    PrimaryUrl,
    RedisUrl,
    server_of,
)

BAD_SETTINGS_EXIT = 2
ENV_FILE = Path(".env")
SERVERS_FILE = "servers"
DEMO_FILE = "demo-env"
EMBEDDED_SETTINGS = {"database_url", "redis_url", "encryption_keys", "clock_start", "clock_speed"}


class SettingsError(Exception):
    """A setting is missing or wrong. The message is one line that names the variable."""


def _variable(name: str) -> AliasChoices:
    return AliasChoices(name)


class Settings(BaseSettings):
    """All settings, with units in their names. Values are validated; errors never show a value, which may be secret."""

    model_config = SettingsConfigDict(
        env_ignore_empty=True,
        env_file=ENV_FILE,
        env_file_encoding="utf-8-sig",
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,
    )

    database_url: PrimaryUrl = Field(None, validation_alias=_variable("DATABASE_URL"))
    replica_database_url: PostgresUrl = Field(None, validation_alias=_variable("REPLICA_DATABASE_URL"))
    redis_url: RedisUrl = Field(None, validation_alias=_variable("REDIS_URL"))
    broker_url: BrokerUrl = Field(None, validation_alias=_variable("BROKER_URL"))
    port: int = Field(8000, ge=0, le=65535, validation_alias=_variable("PORT"))
    log_level: LogLevel = Field("INFO", validation_alias=_variable("LOG_LEVEL"))
    log_format: Literal["json", "console"] = Field("json", validation_alias=_variable("LOG_FORMAT"))
    log_hook: OptionalText = Field(
        None, pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$", validation_alias=_variable("SPENDGATE_LOG_HOOK")
    )
    tracing: bool = Field(False, validation_alias=_variable("SPENDGATE_TRACING"))
    traces_a_second: int = Field(20, ge=1, le=100_000, validation_alias=_variable("SPENDGATE_TRACES_A_SECOND"))
    home: Path = Field(Path(".spendgate"), validation_alias=_variable("SPENDGATE_HOME"))
    host: HostAddress = Field("127.0.0.1", validation_alias=_variable("SPENDGATE_HOST"))
    trusted_proxies: Networks = Field("", validation_alias=_variable("SPENDGATE_TRUSTED_PROXIES"))
    web_threads: int = Field(16, ge=1, le=200, validation_alias=_variable("SPENDGATE_WEB_THREADS"))
    metrics_host: HostAddress = Field("127.0.0.1", validation_alias=_variable("SPENDGATE_METRICS_HOST"))
    worker_metrics_port: int = Field(9191, ge=0, le=65535, validation_alias=_variable("SPENDGATE_WORKER_METRICS_PORT"))
    scheduler_metrics_port: int = Field(
        9192, ge=0, le=65535, validation_alias=_variable("SPENDGATE_SCHEDULER_METRICS_PORT")
    )
    open_dashboard: bool = Field(False, validation_alias=_variable("SPENDGATE_OPEN_DASHBOARD"))
    secret_key: OptionalText = Field(None, min_length=32, validation_alias=_variable("SPENDGATE_SECRET_KEY"))
    encryption_keys: EncryptionKeys = Field(None, validation_alias=_variable("SPENDGATE_ENCRYPTION_KEYS"))
    max_body_bytes: int = Field(
        8_388_608, ge=65_536, le=1_000_000_000, validation_alias=_variable("SPENDGATE_MAX_BODY_BYTES")
    )
    max_connections: int = Field(1_000, ge=1, le=100_000, validation_alias=_variable("SPENDGATE_MAX_CONNECTIONS"))
    max_connections_per_address: int = Field(
        200, ge=1, le=100_000, validation_alias=_variable("SPENDGATE_MAX_CONNECTIONS_PER_ADDRESS")
    )
    max_streams: int = Field(500, ge=1, le=100_000, validation_alias=_variable("SPENDGATE_MAX_STREAMS"))
    max_streams_per_address: int = Field(
        50, ge=1, le=100_000, validation_alias=_variable("SPENDGATE_MAX_STREAMS_PER_ADDRESS")
    )
    max_followers: int = Field(2_000, ge=1, le=100_000, validation_alias=_variable("SPENDGATE_MAX_FOLLOWERS"))
    header_timeout_seconds: float = Field(
        10, gt=0, le=600, validation_alias=_variable("SPENDGATE_HEADER_TIMEOUT_SECONDS")
    )
    body_timeout_seconds: float = Field(30, gt=0, le=600, validation_alias=_variable("SPENDGATE_BODY_TIMEOUT_SECONDS"))
    send_timeout_seconds: float = Field(20, gt=0, le=600, validation_alias=_variable("SPENDGATE_SEND_TIMEOUT_SECONDS"))
    api_requests_per_minute: int = Field(
        1_200, ge=1, le=1_000_000_000, validation_alias=_variable("SPENDGATE_API_REQUESTS_PER_MINUTE")
    )
    max_message_bytes: int = Field(
        33_554_432, ge=65_536, le=500_000_000, validation_alias=_variable("SPENDGATE_MAX_MESSAGE_BYTES")
    )
    worker_processes: int = Field(2, ge=1, le=64, validation_alias=_variable("SPENDGATE_WORKER_PROCESSES"))
    worker_threads: int = Field(32, ge=1, le=64, validation_alias=_variable("SPENDGATE_WORKER_THREADS"))
    shutdown_seconds: int = Field(25, ge=1, le=600, validation_alias=_variable("SPENDGATE_SHUTDOWN_SECONDS"))
    keep_messages_minutes: int = Field(
        0, ge=0, le=10_080, validation_alias=_variable("SPENDGATE_KEEP_MESSAGES_MINUTES")
    )
    keep_messages_megabytes: int = Field(
        256, ge=1, le=1_000_000, validation_alias=_variable("SPENDGATE_KEEP_MESSAGES_MEGABYTES")
    )
    max_event_age_days: int = Field(35, ge=1, le=3650, validation_alias=_variable("SPENDGATE_MAX_EVENT_AGE_DAYS"))
    max_event_ahead_seconds: int = Field(
        300, ge=0, le=86400, validation_alias=_variable("SPENDGATE_MAX_EVENT_AHEAD_SECONDS")
    )
    max_total_age_days: int = Field(1096, ge=1, le=100_000, validation_alias=_variable("SPENDGATE_MAX_TOTAL_AGE_DAYS"))
    ledger_retention_months: int | None = Field(
        None, ge=2, le=1_200, validation_alias=_variable("SPENDGATE_LEDGER_RETENTION_MONTHS")
    )
    ledger_retention_days: int | None = Field(
        None, ge=35, le=36_500, validation_alias=_variable("SPENDGATE_LEDGER_RETENTION_DAYS")
    )
    ledger_partitions: Literal["month", "day"] = Field(
        "month", validation_alias=_variable("SPENDGATE_LEDGER_PARTITIONS")
    )
    rejected_retention_days: int | None = Field(
        None, ge=7, le=36_500, validation_alias=_variable("SPENDGATE_REJECTED_RETENTION_DAYS")
    )
    audit_retention_days: int | None = Field(
        None, ge=30, le=36_500, validation_alias=_variable("SPENDGATE_AUDIT_RETENTION_DAYS")
    )
    spend_folder: Path | None = Field(None, validation_alias=_variable("SPENDGATE_SPEND_FOLDER"))
    spend_folder_quiet_seconds: int = Field(
        60, ge=0, le=86_400, validation_alias=_variable("SPENDGATE_SPEND_FOLDER_QUIET_SECONDS")
    )
    spend_folder_allow_falls: bool = Field(False, validation_alias=_variable("SPENDGATE_SPEND_FOLDER_ALLOW_FALLS"))
    statement_timeout_ms: int = Field(
        60_000, ge=100, le=86_400_000, validation_alias=_variable("SPENDGATE_STATEMENT_TIMEOUT_MS")
    )
    lock_timeout_ms: int = Field(15_000, ge=100, le=86_400_000, validation_alias=_variable("SPENDGATE_LOCK_TIMEOUT_MS"))
    ingest_lock_timeout_ms: int = Field(
        500, ge=10, le=86_400_000, validation_alias=_variable("SPENDGATE_INGEST_LOCK_TIMEOUT_MS")
    )
    citus_shards: int = Field(32, ge=1, le=10_000, validation_alias=_variable("SPENDGATE_CITUS_SHARDS"))
    sequence_gap_seconds: int = Field(
        300, ge=0, le=31_536_000, validation_alias=_variable("SPENDGATE_SEQUENCE_GAP_SECONDS")
    )
    google_ads_url: EncryptedUrl = Field(
        "https://googleads.googleapis.com", validation_alias=_variable("SPENDGATE_GOOGLE_ADS_URL")
    )
    google_ads_version: ApiVersion = Field("v26", validation_alias=_variable("SPENDGATE_GOOGLE_ADS_VERSION"))
    google_token_url: EncryptedUrl = Field(
        "https://oauth2.googleapis.com/token", validation_alias=_variable("SPENDGATE_GOOGLE_TOKEN_URL")
    )
    google_ads_operations_a_day: int = Field(
        2_880, ge=1, le=1_000_000_000, validation_alias=_variable("SPENDGATE_GOOGLE_ADS_OPERATIONS_A_DAY")
    )
    meta_url: EncryptedUrl = Field("https://graph.facebook.com", validation_alias=_variable("SPENDGATE_META_URL"))
    meta_version: ApiVersion = Field("v26.0", validation_alias=_variable("SPENDGATE_META_VERSION"))
    platform_read_seconds: float = Field(
        3_600, gt=0, le=3_600, validation_alias=_variable("SPENDGATE_PLATFORM_READ_SECONDS")
    )
    platform_history_seconds: int = Field(
        300, ge=0, le=86_400, validation_alias=_variable("SPENDGATE_PLATFORM_HISTORY_SECONDS")
    )
    platform_deadline_seconds: float = Field(
        20, gt=0, le=120, validation_alias=_variable("SPENDGATE_PLATFORM_DEADLINE_SECONDS")
    )
    max_clock_offset_seconds: float = Field(
        10, ge=1, le=3_600, validation_alias=_variable("SPENDGATE_MAX_CLOCK_OFFSET_SECONDS")
    )
    webhook_allow_http: bool = Field(False, validation_alias=_variable("SPENDGATE_WEBHOOK_ALLOW_HTTP"))
    webhook_allow_private: bool = Field(False, validation_alias=_variable("SPENDGATE_WEBHOOK_ALLOW_PRIVATE"))
    clock_start: AwareMoment = Field(None, validation_alias=_variable("SPENDGATE_CLOCK_START"))
    clock_speed: float = Field(1.0, gt=0, le=100_000, validation_alias=_variable("SPENDGATE_CLOCK_SPEED"))

    @property
    def max_event_age(self) -> timedelta:
        return timedelta(days=self.max_event_age_days)

    @property
    def max_event_ahead(self) -> timedelta:
        return timedelta(seconds=self.max_event_ahead_seconds)

    @property
    def max_total_age(self) -> timedelta:
        return timedelta(days=self.max_total_age_days)

    @property
    def max_clock_offset(self) -> timedelta:
        return timedelta(seconds=self.max_clock_offset_seconds)

    @property
    def clock_is_driven(self) -> bool:
        return self.clock_start is not None or self.clock_speed != 1.0

    def required_database_url(self) -> str:
        """Returns the URL of Postgres. Raises SettingsError if it is not set and no embedded server runs."""
        return self._required("DATABASE_URL", self.database_url)

    @property
    def queue_url(self) -> str | None:
        """Returns the URL of the message broker: BROKER_URL, or else REDIS_URL; None if neither is set."""
        return self.broker_url or self.redis_url

    @property
    def queue_is_rabbitmq(self) -> bool:
        return self.broker_url is not None and self.broker_url.startswith("amqp")

    def required_encryption_keys(self) -> tuple[str, ...]:
        """Returns the keys that decrypt stored secrets; the first one encrypts. Raises SettingsError if none is set."""
        if self.encryption_keys is None:
            raise SettingsError(
                "SPENDGATE_ENCRYPTION_KEYS: not set, and secrets are kept only encrypted; "
                "make a key with `spendgate new-encryption-key`"
            )
        return tuple(self.encryption_keys.split(","))

    def required_redis_url(self) -> str:
        """Returns the URL of Redis. Raises SettingsError if it is not set and no embedded server runs."""
        return self._required("REDIS_URL", self.redis_url)

    def required_queue_url(self) -> str:
        """Returns the URL of the message broker. Raises SettingsError if none is set and no embedded server runs.

        Raises it too for RabbitMQ if messages are to be kept after their commit, which only Redis can do.
        """
        if self.queue_is_rabbitmq and self.keep_messages_minutes:
            raise SettingsError(
                "SPENDGATE_KEEP_MESSAGES_MINUTES: RabbitMQ keeps no message after its commit; "
                "unset it, and use a synchronous standby"
            )
        return self._required("REDIS_URL", self.queue_url)

    @staticmethod
    def _required(variable: str, value: str | None) -> str:
        if value is None:
            raise SettingsError(f"{variable}: not set, and no embedded server is running; set it or run `spendgate up`")
        return value


@lru_cache(maxsize=1)
def settings() -> Settings:
    """Returns the settings of the process, read at the first call.

    Raises SettingsError for a bad value, an unreadable file, two retentions of the ledger, and a driven clock with a
    database other than the embedded one.
    """
    read = environment_settings()
    if read.database_url is None and read.redis_url is None:
        embedded = embedded_settings(read.home)
        if read.encryption_keys is not None:
            embedded.pop("encryption_keys", None)
        read = read.model_copy(update=embedded)
    _refuse_driven_clock_elsewhere(read)
    if read.ledger_retention_months is not None and read.ledger_retention_days is not None:
        raise SettingsError("SPENDGATE_LEDGER_RETENTION_DAYS: unset it, or SPENDGATE_LEDGER_RETENTION_MONTHS")
    return read


def environment_settings() -> Settings:
    """Reads the settings from the environment and `.env` only. Raises SettingsError for a bad value or file."""
    _refuse_unreadable(ENV_FILE)
    try:
        return Settings()
    except ValidationError as error:
        raise SettingsError(_first_line(error)) from None


def _refuse_unreadable(path: Path) -> None:
    """Raises SettingsError if `path` exists and is not a readable text file, or is a broken link."""
    try:
        if path.is_symlink() and not path.exists():
            raise SettingsError(f"{path}: links to {path.readlink()}, which does not exist; fix or remove the link")
        if not path.exists() or path.is_char_device():  # a link to /dev/null counts as an empty file
            return
        if not path.is_file():
            raise SettingsError(f"{path}: is not a file; rename or remove it")
        if "\0" in path.read_text("utf-8-sig"):
            raise SettingsError(f"{path}: is not a text file: it has a NUL character")
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: is not UTF-8: byte {error.start + 1} is invalid") from None


def embedded_env(home: Path, name: str = "env") -> dict[str, str]:
    """Reads the variables that running embedded servers wrote to `home`/`name`; empty if they do not run.

    Raises SettingsError if the file exists and cannot be read, or was not written by `spendgate up`.
    """
    try:
        lines = (home / name).read_text().splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise SettingsError(f"SPENDGATE_HOME: cannot read {home / name}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"SPENDGATE_HOME: {home / name} was not written by `spendgate up`") from None
    return dict(line.split("=", 1) for line in lines if "=" in line)


def embedded_settings(home: Path, name: str = "env") -> dict[str, Any]:
    """Returns, by field of `Settings`, the URLs, keys and driven clock of running embedded servers, from `home`/`name`.

    Has the settings of a running demo too. Empty if no servers run. Raises SettingsError for a bad value in a file, or
    one that cannot be read.
    """
    env, demo = embedded_env(home, name), embedded_env(home, DEMO_FILE)
    if "DATABASE_URL" not in env:
        return {}
    try:
        known = Settings.model_validate({**env, **demo, "SPENDGATE_HOME": home})
    except ValidationError as error:
        raise SettingsError(f"SPENDGATE_HOME: {home / name}: {_first_line(error)}") from None
    of_demo = {field for field, info in Settings.model_fields.items() if _name_of(info) in demo}
    return known.model_dump(include=EMBEDDED_SETTINGS | of_demo)


def _name_of(field: FieldInfo) -> str | None:
    """The name of the environment variable of a setting; None if the field has no aliases."""
    alias = field.validation_alias
    return str(alias.choices[0]) if isinstance(alias, AliasChoices) else None


def variable(name: str) -> str | None:
    """The value of an environment variable in this process, or else the one that a running demo sets for commands.

    None if neither is set.
    """
    given = os.environ.get(name)
    return embedded_env(environment_settings().home, DEMO_FILE).get(name) if given is None else given


def is_embedded(read: Settings) -> bool:
    """Whether DATABASE_URL names the embedded Postgres that runs in SPENDGATE_HOME.

    Raises SettingsError if a file of the running servers is unreadable.
    """
    running = (embedded_settings(read.home, name).get("database_url") for name in (SERVERS_FILE, "env"))
    return server_of(read.database_url) in map(server_of, filter(None, running))


def _refuse_driven_clock_elsewhere(read: Settings) -> None:
    if not read.clock_is_driven or read.database_url is None:
        return
    if not is_embedded(read):
        variable = "SPENDGATE_CLOCK_START" if read.clock_start else "SPENDGATE_CLOCK_SPEED"
        raise SettingsError(f"{variable}: a driven clock works only with embedded servers; unset DATABASE_URL")


def _first_line(error: ValidationError) -> str:
    first = error.errors()[0]
    return f"{first['loc'][0]}: {first['msg'].removeprefix('Value error, ')}"
