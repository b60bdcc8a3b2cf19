"""Adapters of ad platforms: one module each, with the helpers that it needs beside it."""
