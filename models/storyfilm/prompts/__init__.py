"""Prompts of scenes, worded for the model that draws them."""
