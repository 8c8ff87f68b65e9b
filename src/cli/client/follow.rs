//! Streams that go on when the supervisor has died and come back, or was replaced.

use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use tonic::Code;

use super::context::Context;
use super::link::{Client, ClientError};
use crate::instance::places::Candidates;

/// An instance that nobody answers for so long has ended.
const GRACE: Duration = Duration::from_secs(1);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(50);

/// Reads a stream to its end; then, with `follow`, the next one from where it ended, for as long as there is an instance.
/// The first refusal ends it; what `take` returns an error for, too.
pub(super) fn read<T, S, E>(
    context: &mut Context,
    follow: bool,
    mut open: impl FnMut(&mut Client) -> Result<S, ClientError>,
    mut take: impl FnMut(T) -> Result<(), E>,
) -> Result<Result<(), ClientError>, E>
where
    S: Iterator<Item = Result<T, ClientError>>,
{
    let mut fresh: Option<Client> = None;
    loop {
        let stream = match &mut fresh {
            None => open(context.client()),
            Some(client) => open(client),
        };
        match stream {
            Ok(stream) => {
                for next in stream {
                    match next {
                        Ok(next) => take(next)?,
                        Err(error) if follow && passes(&error) => break,
                        Err(error) => return Ok(Err(error)),
                    }
                }
            }
            Err(error) if follow && passes(&error) => {}
            Err(error) => return Ok(Err(error)),
        }
        if !follow {
            return Ok(Ok(()));
        }
        match again(context.candidates()) {
            Some(client) => fresh = Some(client),
            None => return Ok(Ok(())),
        }
    }
}

/// Whether it is about the connection rather than about what was asked.
pub(super) fn passes(error: &ClientError) -> bool {
    !matches!(error, ClientError::Refused { code, .. } if *code != Code::Unavailable)
}

/// A new connection to the instance. The socket outlives the supervisor: while somebody listens there, somebody will answer.
pub(super) fn again(candidates: &Candidates) -> Option<Client> {
    let mut gone_since: Option<Instant> = None;
    loop {
        if let Ok(client) = super::context::reach(candidates) {
            return Some(client);
        }
        let held = candidates.sockets.iter().any(|socket| UnixStream::connect(socket).is_ok());
        let gone = gone_since.get_or_insert_with(Instant::now);
        if held {
            gone_since = None;
        } else if gone.elapsed() > GRACE {
            return None;
        }
        std::thread::sleep(PAUSE);
    }
}

/// Ends the program when whoever reads its stdout has gone, also while there is nothing to write.
pub(super) fn end_with_reader() {
    let watch = || {
        let stdout = std::io::stdout();
        loop {
            let mut fds = [PollFd::new(std::os::fd::AsFd::as_fd(&stdout), PollFlags::empty())];
            let polled = poll(&mut fds, PollTimeout::NONE);
            let gone = fds[0].revents().is_some_and(|found| found.intersects(PollFlags::POLLERR | PollFlags::POLLHUP));
            if polled.is_ok() && gone {
                std::process::exit(0);
            }
            if polled.is_err_and(|errno| errno != nix::errno::Errno::EINTR) {
                return;
            }
        }
    };
    // Without the thread it ends with the next line.
    let _ = std::thread::Builder::new().name("neap-reader".into()).spawn(watch);
}
