"""The tiny model pack that ships with the code: synthetic data, training and weights."""
