"""Signatures of webhooks are accepted by the official verifiers of Standard Webhooks."""

import json
import os
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from domain.errors import InvalidValue
from domain.notices.signatures import headers, key_of, secret_of

NEW, OLD = secret_of(bytes(range(32))), secret_of(bytes(range(32, 64)))
BODY = '{"type":"campaign.paused","name":"Schuhe ☃"}'.encode()


def now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 - the verifiers compare with real time


@pytest.mark.parametrize("secret", [NEW, OLD])
def test_python_verifier_accepts_both_signatures_of_a_rotation(secret: str) -> None:
    sent = headers("msg_1", now(), BODY, [NEW, OLD])
    assert Webhook(secret).verify(BODY.decode(), dict(sent)) == json.loads(BODY)


def test_python_verifier_refuses_another_secret_and_another_body() -> None:
    sent = headers("msg_1", now(), BODY, [NEW])
    with pytest.raises(WebhookVerificationError):
        Webhook(OLD).verify(BODY.decode(), dict(sent))
    with pytest.raises(WebhookVerificationError):
        Webhook(NEW).verify(BODY.decode() + " ", dict(sent))


def test_javascript_verifier_accepts_the_signature() -> None:
    """SPENDGATE_TEST_NODE_MODULES: a folder node_modules with the npm package `standardwebhooks`."""
    modules = os.environ.get("SPENDGATE_TEST_NODE_MODULES")
    node = shutil.which("node")
    if node is None or modules is None:
        pytest.skip("no node, or SPENDGATE_TEST_NODE_MODULES is not set")
    sent = headers("msg_1", now(), BODY, [OLD, NEW])
    program = """
        const {Webhook} = require(process.argv[1] + "/standardwebhooks");
        const [secret, body, headers] = JSON.parse(process.argv[2]);
        console.log(JSON.stringify(new Webhook(secret).verify(body, headers)));
    """
    given = json.dumps([NEW, BODY.decode(), dict(sent)])
    done = subprocess.run([node, "-e", program, str(Path(modules)), given], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == json.loads(BODY)


@pytest.mark.parametrize("secret", ["", "whsec_!", "whsec_AAAA", NEW.removeprefix("whsec_"), NEW + "="])
def test_wrong_secret_is_refused_without_being_named(secret: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        key_of(secret)
    assert not secret or secret not in str(refused.value)
