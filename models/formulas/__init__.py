"""Mathematics that users write: parsed into data, without numpy, so that a request is checked."""
