"""`python -m neuro` is the `neuro` command."""

from neuro.cli import main

if __name__ == "__main__":
    main()
