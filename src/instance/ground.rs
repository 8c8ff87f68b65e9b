//! What an instance stands on: its folders, its lock, its ledger, and what the one before it left there.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::begin::{BeginError, named};
use super::places::Places;
use crate::anchor::{Inheritance, Key, Link};
use crate::core::RecordKey;
use crate::driver::Store;
use crate::ledger::{Definitions, Found, Generations, Ledger, LedgerError, Lock, LockError, Owner};

/// How long an instance that does not answer may have the lock.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(20);

/// All of it, once it is there.
pub(super) struct Ground {
    pub(super) places: Places,
    /// Where the users of processes can reach what is made for them.
    pub(super) processes: PathBuf,
    /// Held as long as this process lives, and longer by the anchor.
    pub(super) lock: Lock,
    /// Since when the instance is up.
    pub(super) started_at: SystemTime,
    pub(super) generations: Option<Generations>,
    /// What was made at run time.
    pub(super) definitions: Option<Definitions>,
    pub(super) ledger: Box<dyn Store + Send>,
    /// What the one before knew, in this boot of the machine.
    pub(super) records: Vec<(RecordKey, Vec<u8>)>,
    /// The control socket that the one before listened at.
    pub(super) listener: Option<UnixListener>,
    /// What is less than it should be.
    pub(super) degraded: Vec<String>,
}

/// Who asks for it.
pub(super) struct Claim<'a> {
    pub(super) config: Option<&'a Path>,
    pub(super) link: Option<&'a Link>,
}

/// Nothing is written down: the best that can be done for processes that are there already.
struct Nowhere;

impl Store for Nowhere {
    fn write(&mut self, _: &[(RecordKey, Option<Vec<u8>>)]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl Ground {
    /// Makes the folders, takes the lock, opens the ledger.
    pub(super) fn take(places: Places, claim: &Claim<'_>, inheritance: &mut Inheritance) -> Result<Ground, BeginError> {
        let processes = places.make()?;
        let (lock, started_at) = lock(&places, claim, inheritance)?;
        let mut degraded = Vec::new();
        let taking_over = inheritance.lives > 1;
        let name = places.name();
        let (ledger, records) = match Ledger::open(&places.ledger(), &name) {
            Ok((ledger, records, found)) => {
                degraded.extend(odd(&found, taking_over));
                (Box::new(ledger) as Box<dyn Store + Send>, records.current)
            }
            Err(error @ LedgerError::Newer { .. }) => return Err(BeginError::Failed(error.to_string())),
            // There are processes to look after.
            Err(error) if taking_over => {
                degraded.push(error.to_string());
                (Box::new(Nowhere) as Box<dyn Store + Send>, Vec::new())
            }
            Err(error) => return Err(BeginError::Failed(error.to_string())),
        };
        let generations = match Generations::open(&places.state) {
            Ok(generations) => Some(generations),
            Err(error) if taking_over => {
                degraded.push(error.to_string());
                None
            }
            Err(error) => return Err(BeginError::Failed(error.to_string())),
        };
        // Without them all else works, and what is made at run time lasts as long as the instance.
        let definitions = Definitions::open(&places.state).map_err(|error| degraded.push(error.to_string())).ok();
        let listener = held(inheritance, Key::control()).map(UnixListener::from);
        Ok(Ground {
            places,
            processes,
            lock,
            started_at,
            generations,
            definitions,
            ledger,
            records,
            listener,
            degraded,
        })
    }
}

/// Takes out of what the anchor held what has this name.
fn held(inheritance: &mut Inheritance, key: Key) -> Option<OwnedFd> {
    let index = inheritance.held.iter().position(|(held, _)| *held == key)?;
    Some(inheritance.held.swap_remove(index).1)
}

fn lock(places: &Places, claim: &Claim<'_>, inheritance: &mut Inheritance) -> Result<(Lock, SystemTime), BeginError> {
    let path = places.state.join("lock");
    if let Some(fd) = held(inheritance, Key::lock()) {
        let lock = Lock::inherited(fd)
            .map_err(|error| BeginError::Failed(format!("cannot go on with the lock {}: {error}", path.display())))?;
        let since =
            lock.owner().map_or_else(SystemTime::now, |owner| UNIX_EPOCH + Duration::from_secs(owner.started_at));
        return Ok((lock, since));
    }
    let now = SystemTime::now();
    let pid = claim.link.map_or_else(std::process::id, |_| inheritance.anchor.0);
    let started_at = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let lock = patiently(&path, &Owner { pid, config: named(claim.config), started_at }, places)?;
    if let Some(link) = claim.link {
        link.hold(Key::lock(), std::os::fd::AsFd::as_fd(&lock))
            .map_err(|error| BeginError::Failed(format!("the anchor does not take the lock: {error}")))?;
    }
    Ok((lock, now))
}

/// Takes the lock. One who has it and does not answer is about to end, or has only begun: that is waited for a while.
fn patiently(path: &Path, owner: &Owner, places: &Places) -> Result<Lock, BeginError> {
    let end = Instant::now() + PATIENCE;
    loop {
        match Lock::take(path, owner) {
            Ok(lock) => return Ok(lock),
            Err(LockError::Held { .. }) if Instant::now() < end && UnixStream::connect(&places.socket).is_err() => {
                std::thread::sleep(PAUSE);
            }
            Err(error @ LockError::Held { .. }) => return Err(BeginError::Taken(error.to_string())),
            Err(error @ LockError::Failed { .. }) => return Err(BeginError::Failed(error.to_string())),
        }
    }
}

/// What is odd about a ledger, if anything is.
fn odd(found: &Found, taking_over: bool) -> Option<String> {
    Some(match found {
        Found::Whole | Found::OtherBoot => return None,
        Found::Nothing if taking_over => {
            "the ledger is gone: what the supervisor before this one had started is ended, and started anew".to_owned()
        }
        Found::Nothing => return None,
        Found::Torn { lost, .. } => format!("the last write to the ledger was cut short: {lost} bytes are lost"),
        Found::Damaged { lost, aside, .. } => {
            format!("the ledger was damaged: {lost} bytes could not be read; it is kept as {}", aside.display())
        }
        Found::OtherInstance { instance, aside } => {
            format!("the ledger was another instance's ({instance}); it is kept as {}", aside.display())
        }
        Found::Foreign { aside } => format!("there was no ledger in its file, which is kept as {}", aside.display()),
    })
}
