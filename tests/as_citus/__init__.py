"""Tests of the database on a driver that answers as Citus does, where no Citus is installed."""
