//! The hot loops of Logproof Ledger's batch append.
//!
//! The server's Python step is the reference; what is here gives the same bytes, or says that it does not know. The rules
//! that must not break: nothing is accepted here that Python refuses; work is bounded by the bytes that came in; a fault of this code is an
//! exception, never the end of the process.

pub mod seal;
pub mod strict;
pub mod tree;

// Tests of the modules above need no interpreter to link with.
#[cfg(not(test))]
mod python;
