"""The outside world: processes, sockets, the clock. Everything it learns it hands to pure functions as values."""
