"""Jobs that run the laptop's commands with a release's images and settings.

``release`` finds what the chart published; ``places`` says where data lies; ``manifests`` makes the Job; ``launch``
starts it and ``follow`` stays with it, with what ``logs`` reads and ``troubles`` explains; ``commands`` is the command
line.
"""
