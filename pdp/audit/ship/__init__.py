"""What is sealed, brought elsewhere: files to storage that keeps them, records to brokers and collectors.

Always from the sealed log, never from the write-ahead log, so no decision and no sealing ever waits for a target.
"""

from pdp.audit.ship.cursor import floor as floor
