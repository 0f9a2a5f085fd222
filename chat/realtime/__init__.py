"""What is known of running turns in this process, and how other processes get to know it."""
