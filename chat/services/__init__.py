"""What can be done to assistants, conversations and turns: one function per action."""
