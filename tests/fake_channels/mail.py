"""An SMTP server that keeps every mail."""

import email
import email.policy
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller

from tests.ports import free_port


class MailServer:
    """The received mails, in order of arrival, and the URL of a channel that sends to it."""

    def __init__(self, port: int) -> None:
        self.url = f"mailto://127.0.0.1:{port}?from=alerts@example.com&to=ops@example.com&mode=insecure"
        self.mails: list[EmailMessage] = []
        self.refuses = False

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        """Keeps one mail, or refuses it."""
        if self.refuses:
            return "451 try again later"
        parsed = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert isinstance(parsed, EmailMessage)
        self.mails.append(parsed)
        return "250 OK"

    def subjects(self) -> list[str]:
        """The subjects of the mails."""
        return [str(mail["Subject"]) for mail in self.mails]

    def body(self, number: int = -1) -> str:
        """The text of a mail."""
        part = self.mails[number].get_body(("plain", "html"))
        assert part is not None
        return str(part.get_content())


@contextmanager
def mail_server() -> Iterator[MailServer]:
    """Runs the server on a free port of this machine."""
    port = free_port()
    server = MailServer(port)
    controller = Controller(server, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield server
    finally:
        controller.stop()
