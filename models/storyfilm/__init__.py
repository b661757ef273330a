"""What a filmed story is made of: the words of its pictures, camera moves, transitions, music."""
