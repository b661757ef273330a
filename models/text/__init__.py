"""Plain text: its sentences, its outline, numbers as a voice reads them."""
