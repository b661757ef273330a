"""Real servers from wheels, for machines where nothing else is configured."""
