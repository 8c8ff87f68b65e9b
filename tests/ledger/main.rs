//! What is written down, and what can be read of it afterwards, whatever became of the files.

mod failing;
mod journal;
mod lock;
mod state;
mod support;
