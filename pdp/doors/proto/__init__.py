"""The messages of the gRPC doors: `.proto` files, and their descriptors as Python."""
