"""A fake ad platform for the demo and the tests: one small server that speaks real wires, with faults on demand."""
