"""Is the log whole? Everything is computed again from the records; for the log itself, a witness, or one proof."""
