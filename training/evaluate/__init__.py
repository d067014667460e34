"""How good a model is: metrics with intervals, thresholds, pictures, and a warning when it has learnt by heart."""
