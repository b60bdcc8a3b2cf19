"""A fake ad platform: one small server that speaks the wires of Google Ads and Meta, with faults on demand."""
