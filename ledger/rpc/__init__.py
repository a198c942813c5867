"""The gRPC services: what a call needs, what it is answered, and what an error looks like on the wire."""
