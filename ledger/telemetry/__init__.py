"""What the server tells about itself: log lines and metrics. Knows nothing of what it tells about."""
