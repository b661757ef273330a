"""Valkey or Redis: connections, queues, event streams, cancel flags."""
