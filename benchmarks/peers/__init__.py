"""Parley as one of several applications under the same load driver."""
