"""How commands look on a terminal."""
