"""What kind of picture a panel is, and where its H&E tissue lies: from the pixels alone."""
