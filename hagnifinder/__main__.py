"""`python -m hagnifinder` is the `hagnifinder` command."""

from hagnifinder.cli import main

if __name__ == "__main__":
    main(prog_name="hagnifinder")
