"""Real processes killed at named points, and what people see of it."""
