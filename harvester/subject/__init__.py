"""What a panel shows, as the words around it say: organ, species, diagnosis."""
