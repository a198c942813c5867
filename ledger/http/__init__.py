"""The HTTP port: health and metrics for tools that do not speak gRPC. Off unless asked for."""
