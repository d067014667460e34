"""Everything that runs beside the model in production: the domain (``core``) and the service (``fraud``)."""
