//! Threads for what may block: two, and more when those are held up.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Threads that take a job at once.
const PROMPT: usize = 2;
/// Threads at most, however many jobs are stuck.
const MOST: usize = 256;
/// A job that waits this long is taken by a further thread.
const PATIENCE: Duration = Duration::from_millis(50);
/// A thread beyond the prompt ones ends after this long without a job.
const IDLE: Duration = Duration::from_secs(10);

type Job = Box<dyn FnOnce() + Send>;

/// A pool whose jobs may block for ever without holding up the others for longer than a moment.
#[derive(Clone)]
pub(crate) struct Pool(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<(Instant, Job)>,
    prompt: usize,
    prompt_idle: usize,
    spares: usize,
    spare_waits: bool,
    closed: bool,
}

impl Pool {
    /// A pool without threads: they are made when they are needed.
    pub fn new() -> Self {
        Pool(Arc::new(Inner { state: Mutex::default(), changed: Condvar::new() }))
    }

    /// Has a job done. Fails when there is no thread and none can be made.
    pub fn run(&self, job: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let mut state = self.0.lock();
        state.jobs.push_back((Instant::now(), Box::new(job)));
        if state.prompt_idle >= state.jobs.len() {
            // Not just one: that could be a thread that stands by, which would wait on.
            self.0.changed.notify_all();
            return Ok(());
        }
        let (prompt, spare) = (state.prompt < PROMPT, state.prompt == PROMPT && !state.spare_waits);
        if prompt {
            state.prompt += 1;
        } else if spare && state.spares < MOST {
            (state.spares, state.spare_waits) = (state.spares + 1, true);
        } else {
            self.0.changed.notify_all();
            return Ok(());
        }
        drop(state);
        let inner = self.0.clone();
        let made = std::thread::Builder::new()
            .name("neap-pool".into())
            .spawn(move || if prompt { inner.serve() } else { inner.stand_by() });
        if let Err(error) = made {
            let mut state = self.0.lock();
            if prompt {
                state.prompt -= 1;
            } else {
                (state.spares, state.spare_waits) = (state.spares - 1, false);
            }
            if state.prompt == 0 {
                state.jobs.pop_back();
                return Err(error);
            }
        }
        Ok(())
    }

    /// Ends the threads, each after its job; jobs that nobody took are dropped.
    pub fn close(&self) {
        let mut state = self.0.lock();
        state.closed = true;
        state.jobs.clear();
        self.0.changed.notify_all();
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One of the prompt threads.
    fn serve(&self) {
        let mut state = self.lock();
        while !state.closed {
            if let Some((_, job)) = state.jobs.pop_front() {
                drop(state);
                job();
                state = self.lock();
            } else {
                state.prompt_idle += 1;
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.prompt_idle -= 1;
            }
        }
        state.prompt -= 1;
    }

    /// A further thread: it takes a job only when that has waited for too long, and then another one stands by.
    fn stand_by(self: Arc<Self>) {
        let mut state = self.lock();
        let mut idle_since = Instant::now();
        loop {
            let waited = state.jobs.front().map(|(since, _)| since.elapsed());
            match waited {
                _ if state.closed => break,
                Some(waited) if waited >= PATIENCE => {
                    let Some((_, job)) = state.jobs.pop_front() else { continue };
                    state.spare_waits = false;
                    if state.spares < MOST {
                        let next = self.clone();
                        let made = std::thread::Builder::new().name("neap-pool".into()).spawn(move || next.stand_by());
                        if made.is_ok() {
                            (state.spares, state.spare_waits) = (state.spares + 1, true);
                        }
                    }
                    drop(state);
                    job();
                    state = self.lock();
                    if state.spare_waits {
                        // Another stands by already.
                        state.spares -= 1;
                        return;
                    }
                    state.spare_waits = true;
                    idle_since = Instant::now();
                }
                _ if waited.is_none() && idle_since.elapsed() >= IDLE => break,
                waited => {
                    let wait = waited.map_or(IDLE, |waited| PATIENCE - waited);
                    state = self.changed.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0;
                }
            }
        }
        (state.spares, state.spare_waits) = (state.spares - 1, false);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::Pool;

    const PATIENCE: Duration = Duration::from_secs(20);

    #[test]
    fn a_job_is_taken_at_once_while_a_thread_stands_by() {
        let pool = Pool::new();
        let (release, wait) = mpsc::channel::<()>();
        let (done, answers) = mpsc::channel();
        let busy = std::sync::Arc::new(std::sync::Mutex::new(wait));
        for _ in 0..3 {
            let (busy, done) = (busy.clone(), done.clone());
            pool.run(move || {
                let _ = busy.lock().unwrap().recv();
                done.send(()).unwrap();
            })
            .unwrap();
        }
        drop(release);
        (0..3).for_each(|_| answers.recv_timeout(PATIENCE).unwrap());
        let mut late = 0;
        for _ in 0..20 {
            // Until all have gone to sleep again.
            std::thread::sleep(Duration::from_millis(2));
            let (begun, done) = (std::time::Instant::now(), done.clone());
            pool.run(move || done.send(()).unwrap()).unwrap();
            answers.recv_timeout(PATIENCE).unwrap();
            late += usize::from(begun.elapsed() >= super::PATIENCE);
        }
        pool.close();
        assert!(late < 3, "{late} of 20 jobs waited");
    }

    #[test]
    fn jobs_that_block_do_not_hold_up_the_others() {
        let pool = Pool::new();
        let mut blockers = Vec::new();
        for _ in 0..5 {
            let (release, wait) = mpsc::channel::<()>();
            pool.run(move || assert!(wait.recv().is_err())).unwrap();
            blockers.push(release);
        }
        let (done, answers) = mpsc::channel();
        for n in 0..20 {
            let done = done.clone();
            pool.run(move || done.send(n).unwrap()).unwrap();
        }
        let mut seen: Vec<i32> = (0..20).map(|_| answers.recv_timeout(PATIENCE).unwrap()).collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..20).collect::<Vec<_>>());
        drop(blockers);
        pool.close();
    }
}
