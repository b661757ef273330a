"""Valkey or Redis: the connection, the queues, events and cancel flags."""
