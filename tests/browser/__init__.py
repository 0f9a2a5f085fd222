"""What people do on pages, in a real browser. A package, so that fixtures can end with these tests."""
