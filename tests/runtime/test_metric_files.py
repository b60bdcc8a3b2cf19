"""Files of metrics that worker processes share."""

from pathlib import Path

from prometheus_client import generate_latest

from runtime import metric_files


def test_scrape_leaves_out_a_file_that_a_process_has_just_made(tmp_path: Path) -> None:
    (tmp_path / "counter_0.db").touch()
    assert generate_latest(metric_files.registry_of(tmp_path)) == b""
