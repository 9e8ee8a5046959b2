"""`python -m vadgen`."""

import sys

from vadgen.cli import main

if __name__ == "__main__":
    sys.exit(main())
