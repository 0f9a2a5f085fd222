"""Signing in: with e-mail address and password, or once with a link."""
