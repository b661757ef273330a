"""When pgBackRest last made a good backup, as a file for node_exporter's textfile collector:
``pgbackrest --stanza=atelier info --output=json | python3 scripts/postgres_backups.py FILE.prom``.

Needs nothing but Python, so that it runs where Postgres does, as its user. What pgBackRest does not
answer changes nothing: the time of before stays in the file and grows old, which is what the alert
looks at. Exit status 0: written; 1: what came in is no answer of pgBackRest.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

NAME = "atelier_postgres_backup_timestamp_seconds"
HEAD = (
    f"# HELP {NAME} When pgBackRest finished the last good backup of a stanza; 0: there is none.\n"
    f"# TYPE {NAME} gauge\n"
)
UNREACHABLE = 99  # a repository's status, by pgBackRest's documentation: "other"


def render(stanzas: Sequence[Any]) -> str:
    """The metrics of what ``pgbackrest info --output=json`` says.

    A backup is not good where pages of the database had wrong checksums.

    Raises:
        KeyError, TypeError, ValueError: it says something else, knows no stanza at all, or could
            not read a repository: then it lists no backups, though there may be some.
    """
    if not stanzas:
        raise ValueError("it knows no stanza")
    lines = []
    for stanza in stanzas:
        for part in (stanza, *stanza["repo"]):
            if part["status"]["code"] == UNREACHABLE:
                raise ValueError(part["status"].get("message", "a repository cannot be read"))
        good = [one["timestamp"]["stop"] for one in stanza["backup"] if not one.get("error")]
        lines.append(f'{NAME}{{stanza="{stanza["name"]}"}} {max(good, default=0)}\n')
    return HEAD + "".join(lines)


def main(argv: Sequence[str]) -> int:
    target = Path(argv[0])
    try:
        text = render(json.load(sys.stdin))
    except (ValueError, KeyError, TypeError) as error:
        print(f"error: no answer of pgBackRest: {error!r}", file=sys.stderr)
        return 1
    # node_exporter reads what ends in .prom at any moment, as another user.
    written = target.with_suffix(".new")
    written.write_text(text, "utf-8")
    written.chmod(0o644)
    written.replace(target)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
