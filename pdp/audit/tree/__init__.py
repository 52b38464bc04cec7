"""The sealed log: RFC 6962 hashes, C2SP tiles, notes and checkpoints, cosignatures, and who signs."""
