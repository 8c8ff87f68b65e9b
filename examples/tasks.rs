//! Tasks beside processes: async functions with restarts, dependencies and an orderly stop, in one graph with a child.
//!
//! ```sh
//! cargo run --no-default-features --example tasks
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use neap::core::StateName;
use neap::spec::{Ready, Restart, Spec};
use neap::{Supervisor, Task, TaskResult};

/// Sends letters until it is asked to end. The third does not go out, once.
async fn send_letters(task: Task, sent: Arc<AtomicU32>) -> TaskResult {
    task.ready();
    loop {
        tokio::select! {
            () = task.cancelled() => return Ok(()),
            () = tokio::time::sleep(Duration::from_millis(5)) => {}
        }
        let number = sent.fetch_add(1, Ordering::Relaxed) + 1;
        if number == 3 {
            return Err("the third letter came back".into()); // the restart policy says what follows
        }
        task.log(format!("letter {number} is sent"));
        task.status(format!("{number} letters sent"));
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let supervisor = Supervisor::builder().build()?;
    supervisor.add(Spec::shell("db", "echo listening; exec sleep 1000").ready(Ready::logline("^listening")))?;

    // Called for each run. It starts once `db` is ready, and is stopped before it.
    let sent = Arc::new(AtomicU32::new(0));
    let mailer = Spec::task("mailer")
        .requires("db")
        .ready(Ready::Notify)
        .restart(Restart::on_failure().delay(Duration::from_millis(10)));
    let mailer = supervisor.add_task(mailer, move |task| send_letters(task, sent.clone()))?;
    mailer.start_blocking()?;

    let failed = mailer.wait(StateName::Backoff).wait()?;
    println!("mailer: {}", failed.reason);
    mailer.wait(StateName::Running).wait()?;
    println!("mailer is {} for the second time", mailer.status()?.state);
    for line in mailer.logs(2) {
        println!("mailer said: {}", String::from_utf8_lossy(&line.text));
    }
    let down = supervisor.shutdown().wait()?; // the mailer is asked to end, then db is stopped
    println!("down; would not die: {:?}", down.stuck);
    Ok(())
}
