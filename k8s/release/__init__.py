"""From a registered model version to a rollout, and from the rollout's end back to the registry."""
