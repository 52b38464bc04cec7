"""One module for each protocol, pure: bytes and headers to requests, decisions to status, headers and bytes."""
