"""Types of settings that need a check: URLs, hosts, networks and moments. Errors never show a value."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network
from typing import Annotated, Literal
from urllib.parse import parse_qs, quote, urlsplit

from pydantic import AfterValidator, BeforeValidator

LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
HOST_NAME = re.compile(rf"(?:{LABEL}\.)*(?![0-9]+\.?$){LABEL}\.?")
"""A valid host name; a name whose last label is a number is refused, because it looks like an address."""

FERNET_KEY = re.compile(r"[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]=")
"""32 bytes in URL-safe base64."""

POSTGRES_EXPECTED = "expected postgresql://user:password@host:port/database, or several host:port by commas"

DEFAULT_PORT = 5432

TARGET = "target_session_attrs"
"""The parameter of a Postgres URL that chooses among several hosts."""

SERVER_PARAMETERS = frozenset({"host", "hostaddr", "port", "service"})
"""Parameters of a Postgres URL that override the server in its host part."""


def _blank_is_unset(value: object) -> object:
    return None if value == "" else value


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


def _host_address(value: str) -> str:
    host = value[1:-1] if value.startswith("[") and value.endswith("]") else value
    try:
        ip_address(host)
    except ValueError:
        if len(host) > 253 or not HOST_NAME.fullmatch(host):
            raise ValueError("expected an address such as 127.0.0.1, ::1 or 0.0.0.0, or a host name") from None
    return host


def _psycopg_url(value: str | None) -> str | None:
    if value is None:
        return None
    scheme, _, rest = value.partition("://")
    if rest.partition("/")[0].count("@") > 1:
        raise ValueError("write an @ in the user or password as %40")
    if scheme not in {"postgres", "postgresql", "postgresql+psycopg"}:
        raise ValueError(POSTGRES_EXPECTED)
    url = f"postgresql+psycopg://{rest}"
    place = url.partition("://")[2].partition("/")[0].rpartition("@")[2]
    hosts = place.split(",")
    if not all(_has_valid_port(f"postgresql://{host}/") for host in hosts):
        raise ValueError(POSTGRES_EXPECTED)
    return _with_several_hosts(url, place, hosts) if len(hosts) > 1 else url


def _with_several_hosts(url: str, place: str, hosts: Sequence[str]) -> str:
    """The URL with its hosts moved from the host part (libpq's form) to the query (SQLAlchemy's form).

    Raises ValueError for an empty host name.
    """
    if not all(hosts):
        raise ValueError(POSTGRES_EXPECTED)
    before, _, after = url.partition(f"{place}/") if f"{place}/" in url else (url.removesuffix(place), "", "")
    database, _, query = after.partition("?")
    split = [urlsplit(f"postgresql://{host}/") for host in hosts]
    several = ",".join(quote(one.hostname or "") for one in split)
    ports = ",".join(str(one.port or DEFAULT_PORT) for one in split)
    return f"{before}/{database}?host={several}&port={ports}{'&' if query else ''}{query}"


def _primary_url(value: str | None) -> str | None:
    """The URL of Postgres for SQLAlchemy; if it has several hosts, changed to connect to the one that takes writes.

    None for None. Raises ValueError for a text that is not such a URL.
    """
    url = _psycopg_url(value)
    names = parse_qs(urlsplit(url or "").query)
    if url is None or "," not in names.get("host", [""])[0] or TARGET in names:
        return url
    return f"{url}&{TARGET}=read-write"


def _redis_url(value: str | None) -> str | None:
    schemes = ("redis://", "rediss://", "unix://")
    if value is not None and not (value.startswith(schemes) and _has_valid_port(value)):
        raise ValueError("expected redis://user:password@host:port/number")
    return value


def _broker_url(value: str | None) -> str | None:
    schemes = ("redis://", "rediss://", "unix://", "amqp://", "amqps://")
    if value is not None and not (value.startswith(schemes) and _has_valid_port(value)):
        raise ValueError("expected redis://user:password@host:port/number or amqp://user:password@host:port/vhost")
    if value is not None and value.startswith("amqp"):
        from pika import URLParameters  # noqa: PLC0415 - needed only for RabbitMQ

        URLParameters(value)
    return value


def _encrypted_url(value: str) -> str:
    split = urlsplit(value)
    if split.scheme != "https" and not (split.scheme == "http" and split.hostname in {"127.0.0.1", "::1"}):
        raise ValueError("expected https://host, because requests carry secrets (http only to 127.0.0.1)")
    return value.rstrip("/")


def _api_version(value: str) -> str:
    if not re.fullmatch(r"v[0-9]+(\.[0-9]+)?", value):
        raise ValueError("expected a version such as v26 or v26.0")
    return value


def _encryption_keys(value: str | None) -> str | None:
    if value is None:
        return None
    keys = [key.strip() for key in value.split(",")]
    if not all(FERNET_KEY.fullmatch(key) for key in keys):
        raise ValueError("expected keys of `spendgate new-encryption-key`, the newest first, separated by commas")
    return ",".join(keys)


def _networks(value: str) -> str:
    for name in filter(None, map(str.strip, value.split(","))):
        if name != "*":
            _network(name)
    return value


def _in_utc(value: datetime | None) -> datetime | None:
    if value is not None and value.tzinfo is None:
        raise ValueError("has no UTC offset; write it like 2026-03-01T00:00:00Z")
    try:
        return value and value.astimezone(UTC)
    except OverflowError:
        raise ValueError("is outside the years 1 to 9999 in UTC") from None


def _network(name: str) -> None:
    try:
        ip_network(name, strict=False)
    except ValueError:
        raise ValueError("expected addresses or networks such as 10.0.0.0/8, separated by commas, or *") from None


def _has_valid_port(url: str) -> bool:
    try:
        return urlsplit(url).port is None or bool(urlsplit(url).hostname)
    except ValueError:
        return False


def server_of(url: str | None) -> tuple[object, ...] | None:
    """Returns the server of a Postgres URL: host, port, and the names of the parameters that override them.

    None for None. The values of such parameters do not count: URLs that differ in them alone have equal results.
    """
    if url is None:
        return None
    split = urlsplit(url)
    return split.hostname, split.port, frozenset(parse_qs(split.query)) & SERVER_PARAMETERS


OptionalText = Annotated[str | None, BeforeValidator(_blank_is_unset)]
PostgresUrl = Annotated[OptionalText, AfterValidator(_psycopg_url)]
PrimaryUrl = Annotated[OptionalText, AfterValidator(_primary_url)]
RedisUrl = Annotated[OptionalText, AfterValidator(_redis_url)]
BrokerUrl = Annotated[OptionalText, AfterValidator(_broker_url)]
LogLevel = Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], BeforeValidator(_upper)]
HostAddress = Annotated[str, AfterValidator(_host_address)]
EncryptedUrl = Annotated[str, AfterValidator(_encrypted_url)]
EncryptionKeys = Annotated[OptionalText, AfterValidator(_encryption_keys)]
ApiVersion = Annotated[str, AfterValidator(_api_version)]
Networks = Annotated[str, AfterValidator(_networks)]
AwareMoment = Annotated[datetime | None, AfterValidator(_in_utc)]
