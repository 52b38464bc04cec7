"""The codes, one module for each stage: `ENTRIES`, code -> Entry."""
