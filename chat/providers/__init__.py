"""Providers: what generates an answer, behind one streaming protocol (`chat.providers.base`)."""
