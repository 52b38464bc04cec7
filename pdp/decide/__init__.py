"""Request, program, attributes and now -> decision. No clock, no network, no file, no log."""
