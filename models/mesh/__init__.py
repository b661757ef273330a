"""Meshes: generation, GLB export, rendering and turntable clips."""
