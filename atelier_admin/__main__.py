"""``python -m atelier_admin``, where the command is not on the PATH."""

from atelier_admin.main import command

if __name__ == "__main__":
    raise SystemExit(command())
