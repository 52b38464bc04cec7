"""Policy sets as artefacts: read from a directory, built, written, loaded."""
