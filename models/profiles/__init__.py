"""The models of each class of machine."""
