"""Requests through real proxies with our examples reach the web process as those of their client."""

import json
import os
import re
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import httpx2 as httpx
import pytest
from starlette.testclient import TestClient

from app import access
from domain.access import KeyScope, Role
from tests.cli.shell import REPOSITORY, serving
from tests.ports import free_port, listens
from tests.web.admin.conftest import PASSWORD, Browser
from tests.world import UNIT, World, eventually

PROXIES = REPOSITORY / "ops/proxies"
HOST = "spendgate.example.com"
LARGEST = 8 * 1024 * 1024


@pytest.fixture
def web(world: World, tmp_path: Path) -> Iterator[int]:
    """The port of a web process that trusts a proxy on this machine."""
    port = free_port()
    env = {"PORT": str(port), "SPENDGATE_TRUSTED_PROXIES": "127.0.0.1"}
    with serving("-m", "web", output=tmp_path / "web", env=env):
        eventually(lambda: listens(port))
        yield port


@pytest.fixture(params=["nginx", "caddy"])
def proxy(request: pytest.FixtureRequest, web: int, tmp_path: Path) -> Iterator[httpx.Client]:
    """A client of the proxy with our example, changed in ports, name of the certificate, and log files alone."""
    if shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    port = free_port()
    start = {"nginx": _nginx, "caddy": _caddy}[request.param]
    trusted = ssl.create_default_context()
    trusted.check_hostname, trusted.verify_mode = False, ssl.CERT_NONE
    command, env = start(tmp_path, web, port), {**os.environ, "HOME": str(tmp_path)}
    with (
        (tmp_path / "log").open("wb") as log,
        subprocess.Popen(command, cwd=tmp_path, stdout=log, stderr=log, env=env) as process,
        httpx.Client(
            base_url=f"https://127.0.0.1:{port}",
            headers={"Host": f"{HOST}:{port}"},
            verify=trusted,
            timeout=60,
            follow_redirects=True,
        ) as client,
    ):
        try:
            eventually(lambda: listens(port) or process.poll() is not None)
            assert process.poll() is None, (tmp_path / "log").read_text()
            yield client
        finally:
            process.terminate()


def _certificate(folder: Path) -> tuple[Path, Path]:
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subject = ("-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}")
    made = ("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-keyout", key, "-out", certificate)
    subprocess.run(["openssl", *made, *subject], check=True, capture_output=True)
    return certificate, key


def _nginx(folder: Path, web: int, port: int) -> list[str]:
    certificate, key = _certificate(folder)
    site = (PROXIES / "nginx.conf").read_text().replace("127.0.0.1:8000", f"127.0.0.1:{web}")
    site = site.replace("listen 443 ssl", f"listen 127.0.0.1:{port} ssl").replace(
        "listen 80;", f"listen 127.0.0.1:{free_port()};"
    )
    site = re.sub(r"ssl_certificate \S+;", f"ssl_certificate {certificate};", site)
    site = re.sub(r"ssl_certificate_key \S+;", f"ssl_certificate_key {key};", site)
    paths = "".join(
        f"{kind}_temp_path {folder / kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder / 'pid'}; error_log {folder / 'errors'}; user root;"
        f"events {{}} http {{ access_log off; {paths} {site} }}"
    )
    return ["nginx", "-c", str(folder / "nginx.conf"), "-e", str(folder / "errors")]


def _caddy(folder: Path, web: int, port: int) -> list[str]:
    certificate, key = _certificate(folder)
    site = (PROXIES / "Caddyfile").read_text().replace("127.0.0.1:8000", f"127.0.0.1:{web}")
    site = site.replace(f"{HOST} {{", f"https://{HOST}:{port} {{\n\ttls {certificate} {key}\n\tbind 127.0.0.1", 1)
    options = f"admin off\nauto_https off\ndefault_sni {HOST}\nservers {{\nprotocols h1 h2\n}}"
    (folder / "Caddyfile").write_text(f"{{\n{options}\n}}\n{site}")
    return ["caddy", "run", "--config", str(folder / "Caddyfile")]


def test_pages_behind_the_proxy_know_their_host_and_that_they_are_encrypted(proxy: httpx.Client) -> None:
    answer = proxy.get("/admin/login")
    assert answer.status_code == 200
    assert "strict-transport-security" in answer.headers
    assert "__Host-" in answer.headers["set-cookie"]


def test_metrics_are_not_reached_from_outside(proxy: httpx.Client) -> None:
    assert proxy.get("/metrics").status_code == 404
    assert proxy.get("/readyz").status_code == 200


def test_batch_of_the_largest_size_passes_and_the_proxy_itself_refuses_a_larger_one(
    proxy: httpx.Client, world: World
) -> None:
    campaign = world.campaign(world.brand())
    _, key = access.create_key("sender", [KeyScope.SPEND_WRITE], "test")
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    body = json.dumps({"events": [world.event(campaign, UNIT)]}).encode()
    assert proxy.post("/api/spend/", content=body.ljust(LARGEST), headers=headers).status_code == 202
    refused = proxy.post("/api/spend/", content=body.ljust(LARGEST + 1), headers=headers)
    assert refused.status_code == 413
    # A proxy that cuts off a body on its way can answer 502: it must not begin to pass on one that is too large.
    assert "problem+json" not in refused.headers.get("content-type", "")


def test_events_of_open_pages_pass_the_proxy_at_once(proxy: httpx.Client) -> None:
    access.create_user("ops@example.com", PASSWORD, Role.VIEWER, "test")
    person = Browser(cast("TestClient", proxy))
    assert person.sign_in("ops@example.com").status_code == 303
    with proxy.stream("GET", "/changes/stream") as stream:
        assert stream.status_code == 200
        assert next(line for line in stream.iter_lines() if line)
