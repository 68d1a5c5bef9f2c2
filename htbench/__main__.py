"""`python -m htbench`."""

from htbench.cli import main

main()
