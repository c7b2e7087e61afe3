"""`python -m drcap.cli`, for launchers that start a module in several processes."""

from drcap.cli import main

if __name__ == "__main__":
    main()
