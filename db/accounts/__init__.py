"""Queries on users, their files and their personas."""
