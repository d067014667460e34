"""The client's calls over HTTP."""
