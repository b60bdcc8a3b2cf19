"""Processes import without garbage collections, and collect garbage once they have started."""

import pytest

from tests.cli.shell import run

SHOW = """
import gc, os, sys
def show(*_):
    print("collects:", gc.isenabled(), "spares imports:", gc.get_freeze_count() > 10_000, flush=True)
    os._exit(0)
gc.unfreeze()
"""
PROCESSES = {  # each shows it where it has imported everything, workers before the first fork
    "spendgate": "from cli import main; main.run = show; from cli.__main__ import main; main()",
    "workers": "from workers import __main__, metrics_server; metrics_server.serve_in_fork = show; __main__.main()",
    "scheduler": "from workers import scheduler; scheduler._periodiq = show; scheduler.main()",
    "web": "from web import __main__ as web; sys.argv = ['web']; web.Server.main_loop = show; web.main()",
}


@pytest.mark.parametrize("process", PROCESSES.values(), ids=PROCESSES)
def test_process_collects_garbage_once_it_has_started(process: str, database: str) -> None:
    result = run("-c", SHOW + process, env={"PORT": "0"})
    assert result.out.splitlines()[-1] == "collects: True spares imports: True", result
