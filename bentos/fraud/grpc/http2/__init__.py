"""The server's side of HTTP/2 (RFC 9113, RFC 7541), as far as gRPC needs it. Why: docs/decisions/0007-grpc.md."""
