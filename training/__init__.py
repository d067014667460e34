"""From raw transactions to a registered, exported model."""
