"""Files that leave the house: pictures now, films later."""
