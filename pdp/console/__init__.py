"""The management plane: metrics, what is loaded, a page to read the rules and to try a request."""
