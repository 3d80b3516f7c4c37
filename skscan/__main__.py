"""``python -m skscan``: the command line."""

from skscan.cli import main

if __name__ == "__main__":
    main()
