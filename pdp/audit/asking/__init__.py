"""Questions to the log, and what could not be judged."""
