"""The scoring service: a transport-free scorer, the online features, and a thin HTTP adapter over them."""
