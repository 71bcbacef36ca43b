"""``python -m playback``: the same as the command ``playback``."""

import sys

from playback.cli import main

if __name__ == "__main__":
    sys.exit(main())
