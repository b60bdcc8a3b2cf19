"""A proxy and TLS server that answers as hooks.slack.com, so that a real `slack://` URL reaches it."""

import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HOST = "hooks.slack.com"
URL = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#general"
PATH = "/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"


class Slack:
    """The posted texts with their paths, and the status of the next answers. `hangs`: it answers nothing."""

    def __init__(self, proxy: str, certificate: Path) -> None:
        self.env = {"HTTPS_PROXY": proxy, "https_proxy": proxy, "REQUESTS_CA_BUNDLE": str(certificate)}
        self.posted: list[tuple[str, dict[str, Any]]] = []
        self.status = 200
        self.hangs = False
        self.ends = threading.Event()

    def texts(self) -> list[str]:
        """The posted payloads as text."""
        return [json.dumps(payload, ensure_ascii=False) for _, payload in self.posted]


@contextmanager
def slack_server(folder: Path) -> Iterator[Slack]:
    """Runs the proxy. `Slack.env`: the environment that leads requests to it, and trusts its certificate."""
    certificate, key = _certificate(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    slack = Slack(f"http://127.0.0.1:{server.server_port}", certificate)
    server.RequestHandlerClass = _handler(slack, context)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield slack
    finally:
        slack.ends.set()
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(slack: Slack, context: ssl.SSLContext) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_CONNECT(self) -> None:
            """Answers the request to the proxy, then speaks TLS as the host that the client wants."""
            self.send_response(200 if self.path == f"{HOST}:443" else 403)
            self.end_headers()
            self.wfile.flush()
            if self.path == f"{HOST}:443":
                with context.wrap_socket(self.connection, server_side=True) as wrapped:
                    _Hook(slack, wrapped)

        def log_message(self, *_: Any) -> None:
            """Logs nothing."""

    return Handler


class _Hook(BaseHTTPRequestHandler):
    """One request to the hook over TLS."""

    def __init__(self, slack: Slack, connection: socket.socket) -> None:
        self._slack = slack
        super().__init__(connection, ("127.0.0.1", 0), None)  # type: ignore[arg-type]

    def do_POST(self) -> None:
        """Keeps the posted payload and answers as Slack does."""
        payload = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self._slack.hangs:
            self._slack.ends.wait()
            return
        self._slack.posted.append((self.path, payload))
        body = b"ok" if self._slack.status == 200 else b"no_service"
        self.send_response(self._slack.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Logs nothing."""


def _certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for HOST and its key, as files."""
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    now = datetime.now(UTC)  # noqa: TID251 - real time, as TLS compares it
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(private, hashes.SHA256())
    )
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return certificate, key
