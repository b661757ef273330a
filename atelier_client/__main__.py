"""``python -m atelier_client`` is the command ``atelier``."""

import sys

from atelier_client.command.main import main

if __name__ == "__main__":
    sys.exit(main())
