"""What hides whom a record is about: pseudonyms, encrypted details, and the keys of both."""
