//! A supervisor inside a program: two processes, one of which needs the other, seen through a crash to an orderly end.
//!
//! ```sh
//! cargo run --no-default-features --example embed
//! ```

use neap::core::{EventKind, StateName};
use neap::spec::{Ready, Restart, Signal, Spec};
use neap::{Next, Supervisor};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Its own thread; no signal handler, no globals. A program may have several.
    let supervisor = Supervisor::builder().build()?;
    let mut events = supervisor.events();

    // `db` is ready once it says so; `api` is started after that, and stopped before it.
    let db = Spec::shell("db", "sleep 0.1; echo accepting connections; exec sleep 1000");
    supervisor
        .add(db.ready(Ready::logline("accepting")).restart(Restart::always().delay(std::time::Duration::ZERO)))?;
    let api = supervisor.add(Spec::shell("api", "echo serving; exec sleep 1000").requires("db"))?;

    // Answered when it is ready, or with why not. In async code: `api.start().await?`.
    api.start_blocking()?;
    println!("api is up as pid {:?}", api.status()?.pid);

    // Something goes wrong: it is started again.
    let db = supervisor.get("db").ok_or("no db")?;
    let before = db.status()?.run;
    db.signal(Signal::KILL).wait()?;
    while let Some(Next::Item(event)) = events.next_blocking() {
        let back = matches!(event.kind, EventKind::State { to: StateName::Running, .. });
        if back && event.name.as_deref() == Some("db") && event.run > before {
            break;
        }
    }
    for line in db.logs(10) {
        println!("db said: {}", String::from_utf8_lossy(&line.text));
    }

    // In order, and answered when no process of them is left.
    let shutdown = supervisor.shutdown().wait()?;
    println!("down; would not die: {:?}", shutdown.stuck);
    Ok(())
}
