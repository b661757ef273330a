"""Parts of story films: image prompts, looped clips and ambient music."""
