//! A11: a plan is put in force as a whole or not at all, touches what it says and nothing else, and whoever waits is answered.

use std::collections::BTreeMap;

use neap::core::{
    Applied, Change, ChangeKind, Command, CommandId, Done, EventKind, HookKind, Output, Pid, RunId, StateName::*,
};
use neap::sim::Behaviour;
use neap::spec::{Effect, Plan, Reload, Restart, Signal, Spec};

use super::harness::*;

/// Numbers that a seed gives.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

fn live(s: &Scenario) -> BTreeMap<String, (RunId, Option<Pid>)> {
    let machine = s.world.machine();
    let all = machine.processes().into_iter().filter_map(|id| machine.status(id));
    all.filter_map(|status| Some((status.name.to_string(), (s.world.live_run(&status.name)?, status.pid)))).collect()
}

fn of<'a>(applied: &'a Applied, name: &str) -> &'a Change {
    applied.changes.iter().find(|change| &*change.name == name).expect("a change of each process")
}

#[test]
fn a11_an_apply_that_changes_one_of_a_hundred_restarts_exactly_that_one() {
    let named = |index: u64| format!("p{index:03}");
    for seed in 0..8 {
        let mut numbers = Numbers(seed);
        let mut specs: Vec<Spec> = (0..100).map(|index| spec(&named(index)).auto_start(true)).collect();
        // Some are related, so that there is somebody who could be taken along.
        for index in 1..100 {
            if numbers.below(3) == 0 {
                let earlier = named(numbers.below(index));
                let one = specs.remove(index as usize);
                specs.insert(
                    index as usize,
                    if numbers.below(2) == 0 { one.after(&earlier) } else { one.wants(&earlier) },
                );
            }
        }
        let mut s = Scenario::with(specs.clone());
        s.pass(secs(5));
        let before = live(&s);
        assert_eq!(before.len(), 100);
        let chosen = numbers.below(100) as usize;
        specs[chosen] = specs[chosen].clone().env("VERSION", "2");
        let applied = s.apply(specs.clone());
        let change = of(&applied, &specs[chosen].name);
        assert_eq!((change.kind, applied.of(ChangeKind::Unchanged).count()), (ChangeKind::Restarted, 99));
        assert_eq!(change.paths(), ["env.VERSION"]);
        s.pass(secs(5));
        let after = live(&s);
        let moved: Vec<&String> =
            before.iter().filter(|(name, run)| after.get(*name) != Some(run)).map(|(n, _)| n).collect();
        assert_eq!(moved, [&specs[chosen].name], "seed {seed}");
        assert_eq!(after.len(), 100);
    }
}

#[test]
fn a11_a_plan_with_one_wrong_spec_changes_nothing_while_all_start_and_stop() {
    for seed in 0..50 {
        let mut numbers = Numbers(seed);
        let mut s = Scenario::with((0..20).map(|index| notify(&format!("p{index}"))));
        for index in 0..20 {
            let name = format!("p{index}");
            let obeys = Some(secs(numbers.below(5)));
            s.behave(&name, Behaviour { ready_after: Some(secs(numbers.below(6))), obeys, ..Behaviour::default() });
            s.start(&name);
        }
        s.pass(secs(numbers.below(4)));
        for _ in 0..8 {
            let name = format!("p{}", numbers.below(20));
            s.stop(&name);
        }
        let picture = |s: &Scenario| {
            let machine = s.world.machine();
            let all = machine.processes().into_iter();
            all.map(|id| (machine.status(id), machine.spec(id), machine.generation())).collect::<Vec<_>>()
        };
        let (before, outputs) = (picture(&s), s.world.outputs().len());
        let changed = (0..20).map(|index| notify(&format!("p{index}")).arg("--new").auto_start(true));
        let mut wrong = plan(changed.skip(2).chain([spec("new").auto_start(true), spec("bad").requires("nobody")]));
        wrong.generation = 7;
        assert!(s.world.machine().diff(&wrong).is_err());
        let id = s.world.command(Command::Apply(Box::new(wrong))).expect("the rules hold");
        s.refused(id);
        assert_eq!(picture(&s), before, "seed {seed}");
        for (_, output) in &s.world.outputs()[outputs..] {
            assert!(matches!(output, Output::Reply(..) | Output::Emit(_)), "seed {seed}: {output:?}");
        }
    }
}

/// Commands of all kinds, applies that take away, bring back and change, and time in between: all at random.
#[test]
fn a11_plans_replaced_during_starts_and_stops_answer_every_waiter() {
    for seed in 0..60 {
        let mut numbers = Numbers(seed);
        let mut s = Scenario::empty();
        let mut asked: Vec<(CommandId, String)> = Vec::new();
        let mut version = 0;
        for _ in 0..30 {
            match numbers.below(10) {
                0..4 => {
                    version += numbers.below(2);
                    apply_some(&mut s, &mut numbers, version);
                }
                4 => s.pass(millis(numbers.below(4_000))),
                _ => {
                    let name = format!("p{}", numbers.below(8));
                    let Some(id) = s.world.find(&name) else { continue };
                    let command = match numbers.below(6) {
                        0..3 => Command::Start(id),
                        3 => Command::Restart(id),
                        4 => Command::Stop(id),
                        _ => Command::Reload(id),
                    };
                    let what = format!("seed {seed}: {command:?} of {name}");
                    asked.push((s.command(command), what));
                }
            }
        }
        s.pass(secs(3_600));
        for (id, what) in asked {
            assert!(!s.is_open(id), "{what} has no answer");
        }
    }
}

/// Applies a plan of some of eight processes; what the answer says is what comes about.
fn apply_some(s: &mut Scenario, numbers: &mut Numbers, version: u64) {
    let mut specs = Vec::new();
    for index in 0..8 {
        let name = format!("p{index}");
        if numbers.below(4) == 0 {
            continue;
        }
        let mut one = notify(&name).auto_start(numbers.below(2) == 0).restart(Restart::never());
        one = one.reload(Reload::Command(vec!["/opt/reload".into()])).reload_on_change(numbers.below(3).to_string());
        if numbers.below(3) == 0 {
            one = one.env("VERSION", version.to_string());
        }
        let earlier: Option<&Spec> = specs.last();
        match (earlier.map(|spec| spec.name.clone()), numbers.below(4)) {
            (Some(earlier), 0) => one = one.requires(earlier),
            (Some(earlier), 1) => one = one.after(earlier),
            _ => {}
        }
        let ready_after = (numbers.below(6) > 0).then(|| secs(numbers.below(8)));
        let obeys = Some(secs(numbers.below(3)));
        s.behave(&name, Behaviour { ready_after, obeys, ..Behaviour::default() });
        specs.push(one);
    }
    let plan: Plan = plan(specs);
    let (foreseen, before) = (s.world.machine().diff(&plan).expect("a right plan"), live(s));
    let id = s.world.command(Command::Apply(Box::new(plan.clone()))).expect("the rules hold");
    let Ok(Done::Applied(applied)) = s.reply(id) else { s.fail("not applied") };
    s.assert(applied.changes == foreseen, "what was done is what was foreseen");
    let now = live(s);
    let taken_along =
        |name: &str| applied.changes.iter().any(|change| change.along.iter().any(|other| &**other == name));
    for change in &applied.changes {
        let name = &*change.name;
        let stays = matches!(change.kind, ChangeKind::Unchanged | ChangeKind::Updated) && !taken_along(name);
        s.assert(
            !stays || before.get(name).is_none_or(|run| now.get(name) == Some(run)),
            &format!("{name} keeps its run: {change:?}"),
        );
        let up = matches!(change.state, Some(Starting | Running));
        let stopped = !matches!(s.world.find(name).map(|_| s.state(name)), Some(Starting | Running));
        let restarted = change.kind == ChangeKind::Restarted && up;
        s.assert(!restarted || stopped || before.get(name) != now.get(name), &format!("{name} is restarted"));
    }
    let left = s.world.machine().diff(&plan).expect("a right plan");
    let waits = |change: &Change| change.fields.iter().any(|field| field.effect != Effect::Reload);
    s.assert(!left.iter().any(waits), &format!("nothing is left to do: {left:?}"));
    s.settle();
}

#[test]
fn a11_a_process_that_is_taken_away_and_brought_back_while_it_starts_answers_its_waiters() {
    let mut s = Scenario::with([notify("db"), spec("web").requires("db")]);
    s.behave("db", Behaviour { ready_after: None, obeys: Some(secs(5)), ..Behaviour::default() });
    s.world.behave_now("db", |does| does.obeys = Some(secs(5)));
    let (db, web) = (s.start("db"), s.start("web"));
    s.apply([spec("other")]);
    assert!(!s.is_open(db) && !s.is_open(web));
    s.is("db", Stopping);
    s.behave("db", Behaviour { ready_after: Some(secs(1)), ..Behaviour::default() });
    let applied = s.apply([spec("other"), notify("db").auto_start(true), spec("web").requires("db").auto_start(true)]);
    assert_eq!((of(&applied, "db").kind, of(&applied, "web").kind), (ChangeKind::Restarted, ChangeKind::Added));
    let again = s.start("web");
    s.pass(secs(30));
    s.are(&["db", "web"], Running);
    s.came_to(again, Running);
}

#[test]
fn an_override_is_listed_and_taken_back_by_an_apply_and_one_that_no_run_has_yet_costs_no_restart() {
    let web = || spec("web").auto_start(true).env("LEVEL", "info");
    let mut s = Scenario::with([web()]);
    let run = s.run("web");
    let updated = s.update(web().env("LEVEL", "debug").description("by hand"), false);
    assert!(updated.change.overridden && updated.change.kind == ChangeKind::Updated);
    assert_eq!(updated.needs_restart(), ["env.LEVEL"]);
    let planned = s.world.machine().diff(&plan([web()])).expect("a plan");
    let fields: Vec<(&str, Effect, bool)> =
        planned[0].fields.iter().map(|field| (field.path.as_str(), field.effect, field.overrides)).collect();
    assert_eq!(fields, [("description", Effect::Live, true), ("env.LEVEL", Effect::Live, true)]);
    assert!(planned[0].overridden && planned[0].kind == ChangeKind::Updated);
    s.apply([web()]);
    assert_eq!(s.run("web"), run, "its run never had the other level");
    assert!(!s.status("web").overridden);

    // One that waits for a restart goes on waiting until there was one.
    s.update(web().env("LEVEL", "debug"), false);
    let applied = s.apply([web().env("LEVEL", "debug")]);
    assert_eq!(
        (of(&applied, "web").kind, of(&applied, "web").paths()),
        (ChangeKind::Restarted, vec!["env.LEVEL".to_owned()])
    );
    s.pass(secs(1));
    assert_ne!(s.run("web"), run);
    s.is("web", Running);
}

#[test]
fn who_is_restarted_along_is_foreseen() {
    let specs = |version: &str| {
        let db = spec("db").auto_start(true).env("VERSION", version);
        let web = spec("web").requires("db").auto_start(true);
        [
            db,
            web,
            spec("shop").part_of("web").auto_start(true),
            spec("other").auto_start(true),
            spec("off").requires("db"),
        ]
    };
    let mut s = Scenario::with(specs("1"));
    let (web, shop, other) = (s.run("web"), s.run("shop"), s.run("other"));
    let applied = s.apply(specs("2"));
    let along: Vec<&str> = of(&applied, "db").along.iter().map(|name| &**name).collect();
    assert_eq!(along, ["shop", "web"]);
    s.pass(secs(1));
    s.are(&["db", "web", "shop", "other"], Running);
    assert!(s.run("web") != web && s.run("shop") != shop && s.run("other") == other);
}

#[test]
fn a_process_whose_configuration_changed_is_told_to_read_it_again_and_keeps_its_run() {
    let web = |text: &str| spec("web").auto_start(true).reload(Reload::Signal(Signal::HUP)).reload_on_change(text);
    let mut s = Scenario::with([web("one")]);
    let run = s.run("web");
    s.world.behave_now("web", |does| does.obeys = None);
    s.mark();
    let applied = s.apply([web("two")]);
    let change = of(&applied, "web");
    assert_eq!((change.kind, change.fields[0].effect), (ChangeKind::Updated, Effect::Reload));
    assert_eq!(change.paths(), ["reload.on_change"]);
    let hups = |s: &Scenario| {
        let hup = |sent: &Sent| matches!(sent, Sent::Signal(signal, _) if *signal == Signal::HUP);
        s.sent("web").into_iter().filter(hup).count()
    };
    assert_eq!((hups(&s), s.run("web")), (1, run));
    assert!(s.events("web").iter().any(|event| event.kind == EventKind::Reloading));
    // It is in force now, and nothing is to be done about it again; nor is when it is taken away.
    s.apply([web("two")]);
    s.apply([spec("web").auto_start(true).reload(Reload::Signal(Signal::HUP))]);
    assert_eq!((hups(&s), s.run("web")), (1, run));
    assert!(s.world.machine().diff(&plan([web("three").env("A", "1")])).is_ok());
}

#[test]
fn one_that_starts_is_told_once_it_is_ready_and_one_that_reloads_once_it_has() {
    let web = |text: &str| {
        notify("web").auto_start(true).reload(Reload::Command(vec!["/opt/reload".into()])).reload_on_change(text)
    };
    let mut s = Scenario::empty();
    let hooks = [(HookKind::Reload, (secs(3), Ok(())))].into();
    s.behave("web", Behaviour { ready_after: Some(secs(5)), hooks, ..Behaviour::default() });
    s.apply([web("one")]);
    s.pass(secs(1));
    s.mark();
    s.apply([web("two")]);
    let reloads = |s: &Scenario| s.events("web").iter().filter(|event| event.kind == EventKind::Reloading).count();
    assert_eq!(reloads(&s), 0);
    s.pass(secs(5));
    s.is("web", Running);
    assert_eq!(reloads(&s), 1);
    s.apply([web("three")]);
    assert_eq!(reloads(&s), 1, "it is still busy with the second");
    s.pass(secs(20));
    assert_eq!(reloads(&s), 2);
}

#[test]
fn a_start_timeout_that_changes_while_a_process_starts_counts_from_then_on() {
    let web = |timeout| notify("web").auto_start(true).restart(Restart::never()).start_timeout(timeout);
    let mut s = Scenario::empty();
    s.behave("web", silent());
    s.apply([web(None)]);
    s.pass(secs(600));
    s.is("web", Starting);
    s.apply([web(Some(secs(5)))]);
    s.pass(secs(4));
    s.is("web", Starting);
    s.pass(secs(2));
    s.is("web", Failed);

    let mut s = Scenario::empty();
    s.behave("web", silent());
    s.apply([web(Some(secs(5)))]);
    s.apply([web(None)]);
    s.pass(secs(600));
    s.is("web", Starting);
}
