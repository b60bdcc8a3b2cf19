"""A fake ad platform: one small server that speaks the wire of Google Ads, with faults on demand."""
