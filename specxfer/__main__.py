"""``python -m specxfer``: the command line."""

import sys

from specxfer._command_line import main

if __name__ == "__main__":
    sys.exit(main())
