"""Who may call: API keys, JWT, roles, rate limits."""
