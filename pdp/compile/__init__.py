"""From the typed core to Python functions: read sets, index, horizon, emitted code, and the program that holds them."""
