"""How long records stay, and how they go."""
