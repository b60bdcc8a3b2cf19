"""Misbehaving clients: sockets that send half of a request, or do not read the response."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Self

PATIENCE_SECONDS = 30


class Client:
    """One raw connection to a server on this machine."""

    def __init__(self, port: int, address: str = "127.0.0.1", receive_buffer_bytes: int | None = None) -> None:
        self.socket = socket.socket()
        self.socket.settimeout(PATIENCE_SECONDS)
        if receive_buffer_bytes is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        self.socket.bind((address, 0))
        self.socket.connect(("127.0.0.1", port))

    def send(self, sent: bytes) -> Self:
        """Sends as many bytes as the server accepts; ignores a closed connection."""
        with suppress(OSError):
            self.socket.sendall(sent)
        return self

    def answer(self) -> bytes:
        """All bytes received until the server closes the connection."""
        read = b""
        with suppress(ConnectionResetError):
            while part := self.socket.recv(65_536):
                read += part
        return read

    def head(self) -> bytes:
        """The bytes up to the end of the response's head, or until the server closes the connection."""
        read = b""
        with suppress(ConnectionResetError):
            while b"\r\n\r\n" not in read and (part := self.socket.recv(65_536)):
                read += part
        return read

    def is_closed(self) -> bool:
        """Whether the server has closed the connection, without waiting for it to."""
        self.socket.setblocking(False)
        try:
            return self.socket.recv(65_536) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True
        finally:
            self.socket.settimeout(PATIENCE_SECONDS)

    def close(self) -> None:
        """Closes the connection."""
        self.socket.close()

    def __del__(self) -> None:
        """Closes the connection when the test drops it."""
        self.close()


def status(answer: bytes) -> int:
    """The HTTP status of a raw response; 0 without a response."""
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/") else 0


@contextmanager
def many(count: int, port: int, sent: bytes, receive_buffer_bytes: int | None = None) -> Iterator[list[Client]]:
    """Opens `number` connections, from ten addresses in turn, each of which has sent these bytes."""
    clients: list[Client] = []
    try:
        for number in range(count):
            address = f"127.0.0.{2 + number % 10}"
            clients.append(Client(port, address, receive_buffer_bytes).send(sent))
        yield clients
    finally:
        for client in clients:
            client.close()
