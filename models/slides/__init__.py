"""Lessons: a script (data) drawn as animated scenes, frame by frame."""
