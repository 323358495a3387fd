"""`python -m emulator` is `kubemu`."""

from emulator.cli.main import main

if __name__ == "__main__":
    main()
