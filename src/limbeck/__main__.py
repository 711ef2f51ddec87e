"""`python -m limbeck`, which is what torchrun can start."""

import sys

from limbeck.cli import main

sys.exit(main())
