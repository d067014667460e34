"""Whether payments are distributed as in training: counted in the service, told in metrics and reports."""
