"""Files of ad platforms: read into exact totals by campaign and day, with the evidence for each decision."""
