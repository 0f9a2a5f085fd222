"""The pages of the chat and what they fetch."""
