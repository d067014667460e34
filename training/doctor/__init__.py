"""The usual suspects: checks of a model and its data that name what was found, what it means and what to do."""
