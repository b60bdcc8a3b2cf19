"""The commands of the page on deployment: from an empty machine to spend that is counted behind TLS."""

import os
from pathlib import Path
from typing import Final

import pytest
import yaml

from tests.cli.shell import REPOSITORY
from tests.docs.commands import commands_of
from tests.ops.empty_machine import Machine, empty_machine

PIP: Final = "/opt/spendgate/bin/pip "
STAND_IN: Final = (Path(__file__).with_name("systemctl.py")).read_text()
INSTALL_STAND_IN: Final = f"""
cat > /usr/local/bin/systemctl <<'END'
#!/usr/bin/python3
{STAND_IN}
END
chmod 755 /usr/local/bin/systemctl
systemctl boot
"""

CHECKS: Final = """
echo '--- checks'
get() { curl --silent --cacert /etc/letsencrypt/live/$NAME/fullchain.pem --resolve "$NAME:443:127.0.0.1" "$@"; }
set -a; . /etc/spendgate/web.env; set +a
BRAND=$(spendgate brand create Acme --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["brand_id"])')
CAMPAIGN=$(spendgate campaign create Summer --brand $BRAND --json |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["campaign_id"])')
KEY=$(spendgate create-api-key sender --scope spend-write --json |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["key"])')
python3 - $CAMPAIGN > event.json <<'END'
import datetime, json, sys, uuid
now = datetime.datetime.now(datetime.timezone.utc).isoformat()
print(json.dumps({"event_id": str(uuid.uuid4()), "campaign_id": int(sys.argv[1]), "occurred_at": now,
    "amount_micros": 7}))
END
printf '{"events": [%s]}' "$(cat event.json)" |
    get --fail -H "Authorization: Bearer $KEY" -H 'Content-Type: application/json' --data-binary @- \\
    "https://$NAME/api/spend/"
echo
spendgate send --wait --timeout 60 event.json
get "https://$NAME/admin/login" --head | grep -i strict-transport-security
echo "metrics $(get "https://$NAME/metrics" --output /dev/null --write-out '%{http_code}')"
figures() { curl --silent --retry 30 --retry-delay 1 --retry-all-errors "http://127.0.0.1:$1/metrics"; }
figures 9192 | grep spendgate_up
figures 9191 | grep spendgate_inputs_total
stat --format='%n %a' /etc/spendgate/*.env
"""


@pytest.mark.timeout(1200)
def test_commands_bring_an_empty_machine_to_counted_spend_behind_tls() -> None:
    commands = [command for command in commands_of("deploy") if not command.startswith("docker")]
    installed = max(place for place, command in enumerate(commands) if command.startswith(PIP)) + 1
    with empty_machine() as machine:
        _install(machine, commands[:installed])
        done = machine.run("\n".join([INSTALL_STAND_IN, *commands[installed:], CHECKS]))
        logs = machine.run("tail -n 20 /var/log/spendgate-*.log || true").out if done.code else ""
    assert done.code == 0, f"{done.out}{done.err}{logs}"
    page, _, checks = done.out.partition("--- checks\n")
    assert "can sign in as owner" in page
    assert "wrong" not in page.partition("postgres")[2]
    assert '"accepted":1' in checks.replace(" ", "")
    assert "strict-transport-security" in checks.lower()
    assert "metrics 404" in checks
    assert checks.count(".env 600\n") == 4
    for figure in ('spendgate_up{part="postgres"} 1.0', 'spendgate_up{part="redis"} 1.0'):
        assert figure in checks
    assert 'spendgate_inputs_total{kind="spend",outcome="counted"} 1.0' in checks


def _install(machine: Machine, commands: list[str]) -> None:
    """Runs the commands that need the network. Skips the test where Debian's packages cannot be had."""
    online = {name: value for name, value in os.environ.items() if name.startswith("PIP_") or name.endswith("_proxy")}
    no_servers = "printf '#!/bin/sh\\nexit 101\\n' > /usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d"
    of_debian = [command for command in commands if command.startswith("apt-get ")]
    done = machine.run("\n".join([no_servers, *of_debian]), is_online=True, env=online)
    if done.code:
        pytest.skip(f"Debian's packages cannot be installed here: {done.err[-500:]}")
    done = machine.run("\n".join(commands[len(of_debian) :]), is_online=True, env=online)
    assert done.code == 0, done.out + done.err


def test_commands_of_containers_are_run_by_the_workflow() -> None:
    """No Docker runs where the tests do: the workflow builds the image and starts the service with these lines."""
    workflow = yaml.safe_load((REPOSITORY / ".github/workflows/ci.yml").read_text())
    run = "\n".join(step.get("run", "") for step in workflow["jobs"]["image"]["steps"]).splitlines()
    commands = commands_of("deploy", "docker")
    assert commands
    assert [command for command in commands if command not in run] == []
