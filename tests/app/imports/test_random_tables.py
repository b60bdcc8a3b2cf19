"""Random tables in random layouts: each comes to its figures to the micro, or is refused or asked about."""

import os

import pytest

from app.imports.answers import Question, Refused
from tests.app.imports.kit import read
from tests.app.imports.tables import Written, write

EXAMPLES = 10_000 if os.environ.get("CI") == "true" else 1_000
PARTS = 20


def outcome(written: Written) -> str:
    """«read», «refused» or «asked»; anything else is a fault, in words."""
    try:
        reading = read(written.content, written.platform)
    except Refused:
        return "refused"
    except Question as question:
        right = sum(written.totals.values())
        sums = [sum((one.sum_micros or {}).values()) for one in question.readings]
        return "asked" if right in sums else f"asked for {sums}, and not {right}: {question}"
    if dict(reading.totals) == written.totals and not reading.bad_rows:
        return "read"
    return f"read {dict(reading.totals)} for {written.totals}, {reading.bad_rows}, {reading.proofs}"


@pytest.mark.parametrize("part", range(PARTS))
def test_a_random_table_is_read_to_the_micro_or_refused_or_asked_about(part: int) -> None:
    outcomes = []
    for seed in range(part * EXAMPLES // PARTS, (part + 1) * EXAMPLES // PARTS):
        written = write(seed)
        outcomes.append(outcome(written))
        assert outcomes[-1] in {"read", "refused", "asked"}, (
            f"seed {seed}: {outcomes[-1]}\n{written.layout}\n{written.content.decode(written.layout.encoding)}"
        )
    assert outcomes.count("read") > len(outcomes) * 0.6
