"""The AI side: profiles, weights and the generators of pixels; knows nothing of the service."""
