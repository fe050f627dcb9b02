"""`python -m midstream`."""

from midstream.cli.main import run

run()
