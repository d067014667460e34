"""How the service becomes a bento: what it holds, what it is called, what it needs."""
