"""Meshes: made, written as GLB, drawn, filmed turning."""
