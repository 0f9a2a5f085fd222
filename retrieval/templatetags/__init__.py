"""What templates of this room need."""
