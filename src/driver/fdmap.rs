//! Which descriptor goes where, as a sequence of dup3 that destroys nothing it still needs.
