"""What the model gets to see: instructions, a summary, the last turns and the retrieved passages, under a ceiling."""
