"""The program `midstream`, also as `python -m midstream`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line (cli/main.py); an interrupt while it is being loaded ends it as any other does."""
    try:
        from midstream.cli.main import run
    except KeyboardInterrupt:
        sys.stderr.write("midstream: interrupted\n")
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
