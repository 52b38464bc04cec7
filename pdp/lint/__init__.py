"""Configurations of proxies, read for what lets a request past the check. Pure: text in, diagnostics out."""
