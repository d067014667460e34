"""Whether a URL answers 200: ``answers.py URL``, what containers ask themselves about their health."""

import sys
import urllib.request

with urllib.request.urlopen(sys.argv[1], timeout=4) as answer:  # noqa: S310 - compose.yaml's own URLs
    sys.exit(answer.status != 200)
