#!/usr/bin/env bash
# Writes requirements/constraints.txt from what the virtual environment holds now.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
{
  echo "# Every package the two commands install, pinned. Refreshed by scripts/lib/pin.sh."
  # The local part of torch's version (+cpu, +cu130) is the machine's choice, not the project's.
  .venv/bin/pip freeze --exclude-editable | sed 's/^torch==\([0-9.]*\)+.*/torch==\1/' | grep -v '^atelier\b'
} > requirements/constraints.txt.new
mv requirements/constraints.txt.new requirements/constraints.txt
