"""`python -m pdp` is the command `pdp`."""

from pdp.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
