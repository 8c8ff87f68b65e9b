//! H3, H4: clients that misbehave.
