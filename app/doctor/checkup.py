"""All checks of a deployment, in the order in which a person reads them."""

from app.doctor import broker, keys, postgres
from app.doctor.findings import Finding, log_findings


def examine() -> list[Finding]:
    """Runs every check and returns all findings. An unreachable server is a finding, not an error."""
    return [finding for check in (postgres.findings, broker.findings, keys.findings) for finding in check()]


def log_at_start() -> None:
    """Logs risks and faults of Postgres: its version, commits, standby and number of connections.

    Logs nothing if Postgres does not answer.
    """
    log_findings(list(postgres.findings_at_start()))
