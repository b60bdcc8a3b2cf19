"""Fixtures of the fake ad platform in cli/fake_platforms/."""
