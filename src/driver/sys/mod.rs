//! The kernel, one small function a call. Only here (and in `child`) is there `unsafe`, only here is libc named.

mod clock;
pub mod fault;
mod fd;
mod init;
pub(super) mod nr;
mod packet;
mod pages;
mod permit;
mod process;
mod socket;
mod stack;

pub use clock::utc_offset;
pub use fd::{
    OpenFor, close_range_works, duplicate_low, has_mark, high_fd, inherited, is_open, open_at, open_null,
    open_pipe_for_writing, pipe, read, read_at, received, set_mark, write,
};
pub use init::{Child, Program, Start, fork_exec, open_files_limit, open_image, wait_child};
pub use packet::{Packet, receive_packet, send_packet};
pub use pages::CleanPages;
pub use permit::{acl, keep_alive, peer_groups, set_acl};
pub use process::{
    SavedMask, WaitNow, block_all_signals, clone3_works, dumpable, effective_ids, exit_info, heed_child_signals,
    heed_hangups, ignores_child_signals, nofile, own_rlimit, pidfd_open, pidfd_signal, process_group, run_last,
    set_dumpable, set_rlimit, wait_pidfd,
};
pub use socket::{bound_file, listen};
pub(super) use stack::{Shared, Slot};

use std::io;

/// A call's answer as a result: what is negative is an error, told by errno.
fn checked(answer: i64) -> io::Result<i64> {
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}
