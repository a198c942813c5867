"""The command line: `logproof`. Its names, flags and exit codes are a contract."""
