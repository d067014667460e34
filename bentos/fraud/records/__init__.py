"""What is kept of every prediction and label: written in batches, joined, expired, erased."""
