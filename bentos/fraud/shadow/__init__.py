"""The challenger in the shadow: it scores copies of what the champion answered, and answers nobody."""
