"""How models share the memory of a device."""
