"""`python -m benchmarks.outages`."""

import sys

from benchmarks.outages.command import main

sys.exit(main())
