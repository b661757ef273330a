"""The model pack that ships with the code: its synthetic world, training and weights."""
