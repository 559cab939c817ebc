"""``python -m hrm_agents``, as ``torchrun`` starts it: the command line ``hrm-agents``."""

import sys

from hrm_agents.cli import main

if __name__ == "__main__":
    sys.exit(main())
