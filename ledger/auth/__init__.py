"""Who may do what: credentials, their secrets, roles and permissions.

Nothing here does I/O; the engine keeps credentials as records of a log.
"""
