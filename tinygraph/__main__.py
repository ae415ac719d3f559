"""``python -m tinygraph``: see ``tinygraph.doctor``."""

import sys

from tinygraph.doctor import main

sys.exit(main())
