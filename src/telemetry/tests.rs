//! The page and the datagrams of real supervisors.
