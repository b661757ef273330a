"""Read and write images, sound, subtitles and video files."""
