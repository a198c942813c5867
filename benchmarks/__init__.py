"""The benchmark table: figures of this ledger, its limits and its peers, measured in one session with equal work."""
