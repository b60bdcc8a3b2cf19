"""How long a trouble at an ad platform lasts before it is an alert."""

from datetime import timedelta
from typing import Final

UNCONFIRMED_AFTER_SECONDS: Final = 60
"""Time after which a pause that the platform has not confirmed is an alert."""

FAILING_AFTER: Final = timedelta(minutes=15)
"""Time without a good read of an account before its failed request is an alert; single failures are usual."""
