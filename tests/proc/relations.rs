//! Relations under `kill -9`, with real processes, told from their events.

use neap::core::{Cause, Event, EventKind, Pid, RelationKind, StateName};
use neap::spec::{Plan, Signal, Spec};
use neap::{Next, Process};

use crate::support::wait_until;
use crate::world::{World, at_once, does, done, is_gone, pid, within};

fn apply(world: &World, specs: Vec<Spec>) {
    let mut plan = Plan::new();
    for spec in specs {
        plan.insert(spec).expect("names differ");
    }
    done(world.supervisor.apply(plan)).expect("a good plan");
}

fn get(world: &World, name: &str) -> Process {
    world.supervisor.get(name).expect("it is in the plan")
}

/// `kill -9` from outside, as an operator would.
fn kill(process: &Process) -> Pid {
    let pid = pid(process);
    let raw = nix::unistd::Pid::from_raw(i32::try_from(pid.0).expect("a pid"));
    nix::sys::signal::kill(raw, nix::sys::signal::Signal::SIGKILL).expect("it runs");
    pid
}

/// All state events until every one of these names is in its state: `(name, to, cause)`.
fn states_until(world: &mut World, goal: &[(&str, StateName)]) -> Vec<(String, StateName, Cause)> {
    let mut seen = Vec::new();
    let mut left: Vec<(String, StateName)> = goal.iter().map(|(name, state)| ((*name).to_owned(), *state)).collect();
    let events = &mut world.events;
    within("all are where they are to be", async {
        while !left.is_empty() {
            match events.next().await {
                Some(Next::Item(Event { name: Some(name), kind: EventKind::State { to, .. }, cause, .. })) => {
                    left.retain(|(other, state)| !(**other == *name && *state == to));
                    seen.push((name.to_string(), to, cause));
                }
                Some(_) => {}
                None => panic!("the supervisor ended"),
            }
        }
    });
    seen
}

fn place(seen: &[(String, StateName, Cause)], name: &str, state: StateName) -> usize {
    seen.iter()
        .position(|(other, to, _)| other == name && *to == state)
        .unwrap_or_else(|| panic!("{name} {state}: {seen:?}"))
}

fn all_running(world: &mut World, names: &[&str]) {
    let goal: Vec<(&str, StateName)> = names.iter().map(|name| (*name, StateName::Running)).collect();
    states_until(world, &goal);
}

#[test]
fn a_chain_of_binds_to_and_follows_goes_down_and_comes_back_in_order_under_kill_9() {
    for cgroups in [true, false] {
        let mut world = World::with(|builder| builder.cgroups(cgroups));
        apply(
            &world,
            vec![
                does("db", &["wait"]).restart(at_once()),
                does("api", &["wait"]).binds_to("db").follows("db"),
                does("web", &["wait"]).binds_to("api").follows("api"),
            ],
        );
        all_running(&mut world, &["db", "api", "web"]);
        let before: Vec<Pid> = ["db", "api", "web"].map(|name| pid(&get(&world, name))).to_vec();
        kill(&get(&world, "db"));
        let seen = states_until(&mut world, &[("db", StateName::Running), ("web", StateName::Running)]);
        let cause = |name: &str, state| seen[place(&seen, name, state)].2.clone();
        assert_eq!(cause("api", StateName::Stopping), Cause::Relation(RelationKind::BindsTo, "db".into()));
        assert_eq!(cause("web", StateName::Stopping), Cause::Relation(RelationKind::BindsTo, "api".into()));
        // Down from the far end, up from the near one.
        let rises = |name| seen.iter().rposition(|(other, to, _)| other == name && *to == StateName::Running);
        assert!(rises("db") < rises("api") && rises("api") < rises("web"), "{seen:?}");
        for old in before {
            assert!(is_gone(old), "nothing of the old runs is left");
        }
    }
}

#[test]
fn what_only_binds_stays_down_after_kill_9_and_what_only_requires_stays_up() {
    let mut world = World::new();
    apply(
        &world,
        vec![
            does("db", &["wait"]).restart(at_once()),
            does("bound", &["wait"]).binds_to("db"),
            does("needy", &["wait"]).requires("db"),
        ],
    );
    all_running(&mut world, &["db", "bound", "needy"]);
    let needy = pid(&get(&world, "needy"));
    kill(&get(&world, "db"));
    states_until(&mut world, &[("db", StateName::Running), ("bound", StateName::Stopped)]);
    assert_eq!(pid(&get(&world, "needy")), needy, "requires alone does not care how it ended");
    let status = get(&world, "bound").status().unwrap();
    assert_eq!((status.state, status.reason.as_str()), (StateName::Stopped, "binds_to `db`"));
}

#[test]
fn a_follower_is_restarted_when_what_it_follows_comes_back() {
    let mut world = World::new();
    apply(&world, vec![does("db", &["wait"]).restart(at_once()), does("cache", &["wait"]).follows("db")]);
    all_running(&mut world, &["db", "cache"]);
    let old = pid(&get(&world, "cache"));
    kill(&get(&world, "db"));
    let seen = states_until(&mut world, &[("cache", StateName::Stopping), ("cache", StateName::Running)]);
    let stopping = place(&seen, "cache", StateName::Stopping);
    assert_eq!(seen[stopping].2, Cause::Relation(RelationKind::Follows, "db".into()));
    assert!(place(&seen, "db", StateName::Running) < stopping, "it went on until the other was back");
    wait_until("the old run is gone", || is_gone(old));
}

#[test]
fn a_wanted_process_that_binds_to_its_wanter_lives_and_dies_with_it() {
    let mut world = World::new();
    let sidecar = |spec: Spec| spec.auto_start(false).binds_to("app");
    apply(
        &world,
        vec![
            does("app", &["wait"]).wants("sidecar").wants("faithful").restart(at_once()),
            sidecar(does("sidecar", &["wait"])),
            sidecar(does("faithful", &["wait"])).follows("app"),
        ],
    );
    let seen = states_until(&mut world, &[("sidecar", StateName::Running), ("faithful", StateName::Running)]);
    assert!(place(&seen, "app", StateName::Running) < place(&seen, "sidecar", StateName::Running));
    kill(&get(&world, "app"));
    let seen = states_until(
        &mut world,
        &[("app", StateName::Running), ("sidecar", StateName::Stopped), ("faithful", StateName::Running)],
    );
    let cause = &seen[place(&seen, "sidecar", StateName::Stopping)].2;
    assert_eq!(*cause, Cause::Relation(RelationKind::BindsTo, "app".into()));
    // An automatic restart wants nothing anew; a start that somebody asks for does.
    let app = get(&world, "app");
    assert_eq!(done(app.stop()), Ok(StateName::Stopped));
    states_until(&mut world, &[("faithful", StateName::Stopped)]);
    assert_eq!(done(app.start()), Ok(StateName::Running));
    states_until(&mut world, &[("sidecar", StateName::Running), ("faithful", StateName::Running)]);
    done(app.signal(Signal::TERM)).expect("it runs");
}
