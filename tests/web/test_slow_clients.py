"""Deliberately slow clients get a clear refusal, and the probes answer meanwhile."""

import time
from collections import Counter

import httpx2 as httpx
import pytest

from tests.web.clients import Client, many, status
from tests.web.conftest import Browse
from tests.world import World, eventually

HOST = b"Host: 127.0.0.1\r\n"
HALF_A_HEAD = b"GET / HTTP/1.1\r\n" + HOST
HALF_A_LOGIN = b"POST /admin/login HTTP/1.1\r\n" + HOST + b"Content-Length: 100\r\n\r\nusername="
HALF_A_BATCH = b"POST /api/spend/ HTTP/1.1\r\n" + HOST + b"Authorization: Bearer sg_x\r\nContent-Length: 60000\r\n\r\n["
HALF_A_CHUNK = b"POST /admin/login HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabc"
STREAM = b"GET /changes/stream HTTP/1.1\r\n" + HOST + b"\r\n"
SCRIPT = b"GET /static/vendor/swagger-ui/swagger-ui-bundle.js HTTP/1.1\r\n" + HOST + b"\r\n"
KEPT_ALIVE = b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n"


def port_of(client: httpx.Client) -> int:
    port = client.base_url.port
    assert port is not None
    return port


def probes_answer(port: int) -> None:
    """The statuses of both probes, each requested on a new connection."""
    for path in ("/healthz", "/readyz"):
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as probe:
            probe.get("/healthz")  # warm
            assert probe.get(path).status_code == 200
        assert status(Client(port).send(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()).head()) == 200


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(HALF_A_HEAD, id="half a head"),
        pytest.param(HALF_A_LOGIN, id="half a login"),
        pytest.param(HALF_A_BATCH, id="half a batch"),
        pytest.param(HALF_A_CHUNK, id="half a chunk"),
        pytest.param(STREAM, id="stream"),
        pytest.param(KEPT_ALIVE, id="kept alive"),
    ],
)
def test_the_probes_answer_while_a_thousand_clients_are_slow(world: World, browse: Browse, sent: bytes) -> None:
    with browse() as client, many(1_000, port_of(client), sent):
        probes_answer(port_of(client))
        probes_answer(port_of(client))


def test_the_probes_answer_while_clients_do_not_read_and_these_are_disconnected(world: World, browse: Browse) -> None:
    with (
        browse(SPENDGATE_SEND_TIMEOUT_SECONDS="1", SPENDGATE_HEADER_TIMEOUT_SECONDS="1") as client,
        many(300, port_of(client), SCRIPT * 20, receive_buffer_bytes=2_048) as slow,
    ):
        probes_answer(port_of(client))
        eventually(lambda: all(map(_was_cut_off, slow)), seconds=60)
        probes_answer(port_of(client))


def _was_cut_off(client: Client) -> bool:
    """Whether the server closed the connection before most of the response was read."""
    try:
        client.socket.send(b"x")
    except OSError:
        return True
    return False


def test_a_client_that_reads_slowly_but_reads_gets_all_of_its_answer(world: World, browse: Browse) -> None:
    with browse(SPENDGATE_SEND_TIMEOUT_SECONDS="1", SPENDGATE_HEADER_TIMEOUT_SECONDS="1") as client:
        whole = len(
            client.get("/static/vendor/swagger-ui/swagger-ui-bundle.js", headers={"Accept-Encoding": ""}).content
        )
        slow = Client(port_of(client), receive_buffer_bytes=2_048).send(
            SCRIPT.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        )
        read, began = 0, time.monotonic()
        while part := slow.socket.recv(16_384):
            read += len(part)
            if time.monotonic() - began < 4:
                time.sleep(0.01)
        assert read > whole


@pytest.mark.parametrize("sent", [HALF_A_HEAD, b"GET"], ids=["half a head", "a word"])
def test_late_request_head_gets_408(world: World, browse: Browse, sent: bytes) -> None:
    with browse(SPENDGATE_HEADER_TIMEOUT_SECONDS="1") as client:
        late = Client(port_of(client)).send(sent)
        answer = late.answer()
        assert status(answer) == 408
        assert b"\r\nConnection: close\r\n" in answer
        assert Client(port_of(client)).answer() == b""


def test_slowly_sent_head_misses_its_deadline_also_on_a_reused_connection(world: World, browse: Browse) -> None:
    with browse(SPENDGATE_HEADER_TIMEOUT_SECONDS="1") as client:
        dripping = Client(port_of(client)).send(KEPT_ALIVE)
        assert status(dripping.head()) == 200
        began = time.monotonic()
        while not dripping.send(b"G" if time.monotonic() - began < 0.1 else b"x").is_closed():
            assert time.monotonic() - began < 20
            time.sleep(0.05)


@pytest.mark.parametrize("sent", [HALF_A_LOGIN, HALF_A_BATCH, HALF_A_CHUNK], ids=["login", "batch", "chunk"])
def test_late_request_body_gets_408(world: World, browse: Browse, sent: bytes) -> None:
    with browse(SPENDGATE_BODY_TIMEOUT_SECONDS="1") as client:
        answer = Client(port_of(client)).send(sent).answer()
        assert status(answer) == 408
        assert b"was not complete within 1 seconds" in answer


def test_body_sent_in_drips_still_hits_the_deadline(world: World, browse: Browse) -> None:
    with browse(SPENDGATE_BODY_TIMEOUT_SECONDS="1") as client:
        dripping, began = Client(port_of(client)).send(HALF_A_LOGIN), time.monotonic()
        while not dripping.is_closed():
            assert time.monotonic() - began < 20
            dripping.send(b"x")
            time.sleep(0.05)


def test_people_sign_in_while_others_send_half_of_a_login(world: World, browse: Browse) -> None:
    with browse() as client, many(50, port_of(client), HALF_A_LOGIN):
        assert client.get("/admin/login").status_code == 200
        form = {
            "username": "x@example.com",
            "password": "wrong",
            "csrftoken": client.cookies["starlette_admin_csrftoken"],
        }
        assert client.post("/admin/login", data=form).status_code == 400


def test_streams_over_the_limit_in_all_or_per_address_are_refused(world: World, browse: Browse) -> None:
    with browse(SPENDGATE_MAX_STREAMS="25", SPENDGATE_MAX_STREAMS_PER_ADDRESS="3") as client:
        with many(50, port_of(client), STREAM) as streams:
            heads = [stream.head() for stream in streams]
            assert Counter(map(status, heads)) == {200: 25, 503: 25}
            of_one = Client(port_of(client), "127.0.0.2").send(STREAM)
            assert status(of_one.head()) == 503
        eventually(lambda: _stream_status(port_of(client)) == 200)
        held = [Client(port_of(client)).send(STREAM) for _ in range(5)]
        heads = [stream.head() for stream in held]
        assert Counter(map(status, heads)) == {200: 3, 429: 2}
        assert all(b"\r\nretry-after: 5\r\n" in head.lower() for head in heads if status(head) == 429)
        assert client.get("/").status_code == 200


def _stream_status(port: int) -> int:
    stream = Client(port, "127.0.0.99").send(STREAM)
    try:
        return status(stream.head())
    finally:
        stream.close()


def asked_anew(client: httpx.Client, path: str) -> httpx.Response:
    """The response to a request on a new connection, because waiting connections may be closed to make room."""
    return httpx.get(client.base_url.join(path), timeout=20)


def test_requests_over_the_limit_in_all_or_per_address_are_refused(world: World, browse: Browse) -> None:
    env = {"SPENDGATE_MAX_CONNECTIONS": "20", "SPENDGATE_MAX_CONNECTIONS_PER_ADDRESS": "4"}
    with browse(**env) as client, many(40, port_of(client), HALF_A_LOGIN) as slow:
        assert {status(refused.head()) for refused in slow[20:]} == {503}
        assert asked_anew(client, "/").status_code == 503
        assert asked_anew(client, "/").headers["retry-after"] == "5"
        probes_answer(port_of(client))
        for finished in slow:
            finished.close()
        eventually(lambda: asked_anew(client, "/").status_code == 200)
        held = [Client(port_of(client)).send(HALF_A_LOGIN) for _ in range(4)]
        assert asked_anew(client, "/healthz").status_code == 200  # the server has read what was sent before
        assert asked_anew(client, "/").status_code == 429
        assert asked_anew(client, "/").headers["retry-after"] == "5"
        probes_answer(port_of(client))
        for finished in held:
            finished.close()
        eventually(lambda: asked_anew(client, "/").status_code == 200)


def test_longest_waiting_connection_is_closed_with_a_status_to_make_room(world: World, browse: Browse) -> None:
    with browse(SPENDGATE_MAX_CONNECTIONS_PER_ADDRESS="3", SPENDGATE_HEADER_TIMEOUT_SECONDS="60") as client:
        slow = [Client(port_of(client), "127.0.0.9").send(HALF_A_HEAD) for _ in range(3)]
        assert client.get("/healthz").status_code == 200  # the server has read what was sent before
        more = [Client(port_of(client), "127.0.0.9") for _ in range(2)]
        assert [status(one.answer()) for one in slow[:2]] == [429, 429]
        assert not slow[2].is_closed()
        assert status(more[1].send(KEPT_ALIVE).head()) == 200
        assert status(slow[2].send(b"\r\n").head()) == 200


def test_a_length_stated_in_two_ways_is_refused_and_the_connection_closed(world: World, browse: Browse) -> None:
    two_ways = (
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
        b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: identity\r\nContent-Length: 5\r\n\r\nabcde",
        b"Transfer-Encoding : chunked\r\nContent-Length: 5\r\n\r\nabcde",
    )
    with browse() as client:
        for path in (b"/admin/login", b"/api/spend/", b"/healthz", b"/nowhere"):
            for lengths in two_ways:
                sent = b"POST " + path + b" HTTP/1.1\r\n" + HOST + b"Authorization: Bearer sg_x\r\n" + lengths
                answer = Client(port_of(client)).send(sent).answer()
                assert status(answer) in {400, 501}, lengths
                assert answer.count(b"HTTP/1.1 ") == 1
        old = b"POST /admin/login HTTP/1.0\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        assert status(Client(port_of(client)).send(old).answer()) == 400
