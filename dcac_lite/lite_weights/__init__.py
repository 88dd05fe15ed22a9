"""How the lite weights are made and how good they are (notebook A1)."""
