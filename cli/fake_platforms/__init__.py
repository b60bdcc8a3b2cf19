"""A fake ad platform for the demo and the tests: one small server with the real APIs' forms, and faults on demand."""
