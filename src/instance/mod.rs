//! An instance: a supervisor with a configuration, places of its own, and a life longer than its process's.

pub(crate) mod places;
