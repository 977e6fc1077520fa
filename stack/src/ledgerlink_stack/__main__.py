"""`python -m ledgerlink_stack` is `ledgerlink`."""

import sys

from ledgerlink_stack.cli import main

sys.exit(main())
