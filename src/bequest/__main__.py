"""`python -m bequest` is the same as `bequest`."""

from bequest.cli import main

if __name__ == "__main__":
    main()
