"""The engine of a log: one writing step, readers, recovery and checks, over a store, a clock and a signer."""
