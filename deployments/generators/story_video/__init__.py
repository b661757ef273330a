"""A story as a narrated film: storyboard, pictures of the same people, motion, voice, music."""
