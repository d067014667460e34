"""The client's calls over gRPC."""
