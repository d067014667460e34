"""HTTP: requests to calls of the predictor, answers and errors to responses."""
