"""Misuse of permitted access, found in the log afterwards. Never on the decision path."""
