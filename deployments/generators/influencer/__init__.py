"""The influencer generator."""
