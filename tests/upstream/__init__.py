"""The parts of the scripted upstream; `tests.responses_server` puts them together and runs them."""
