"""``atelier-admin``, the operator's command: it works on the stores directly."""
