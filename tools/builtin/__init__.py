"""The tools that come with Parley."""
