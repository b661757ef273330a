"""Draw lesson scripts (data) as animated slides, frame by frame."""
