"""Models: configuration, imbalance strategies, forest, network, calibration, training."""
