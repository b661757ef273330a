"""``python -m atelier_client`` is the command ``atelier``."""

import sys

from atelier_client.command.main import main

sys.exit(main())
