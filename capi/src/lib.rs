//! The C interface: a supervisor of one's own, or a running instance, for whoever can call C.
