"""gRPC's interfaces: ``.proto`` files by package; ``_generated`` is what scripts/generate_protos.sh makes of them."""
