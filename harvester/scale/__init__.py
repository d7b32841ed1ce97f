"""What words and drawings beside a picture say of its scale."""
