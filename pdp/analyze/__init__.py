"""Questions about what a policy set says: why, for which requests, and how well its tests cover it."""
