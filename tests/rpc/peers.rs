//! H2: who may call what.
