"""Ward: from text to a typed core. Knows positions and types, nothing of Python code or HTTP."""
