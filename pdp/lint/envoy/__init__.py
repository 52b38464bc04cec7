"""Envoy: bootstrap files and files of resources, from the listener to the cluster that is asked."""
