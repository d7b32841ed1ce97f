"""Data sets: what is in them, who is in which split, and the crops drawn from them."""
