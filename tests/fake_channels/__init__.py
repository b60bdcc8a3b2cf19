"""Servers of our own that speak the wire of a mail server and of Slack's hooks."""
