"""The write-ahead log: what a worker has on disk before it answers, and how that is read again."""
