"""Files that users bring: uploads, and what an input points at."""
