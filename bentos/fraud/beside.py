"""``python -m bentos.fraud.beside``: a command of ``bentos.fraud`` as a process beside a server.

A server that stops right after its start ends it while it imports: signals wait until it can do what they ask for, such
as recording what was answered meanwhile.
"""

from __future__ import annotations

import signal
import sys

if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT))
    from bentos.fraud.__main__ import main

    sys.exit(main())
