//! Generated specs for property tests.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::names::CAPABILITIES;
use super::read::{MODES, POLICIES, TYPES};
use super::schema::RLIMITS;
use super::*;

fn duration() -> BoxedStrategy<Duration> {
    prop_oneof![
        (1..10_000_000_000u64).prop_map(Duration::from_nanos),
        (1..10_000u64).prop_map(Duration::from_millis),
        (1..1_000_000u64).prop_map(Duration::from_secs),
    ]
    .boxed()
}

fn word() -> BoxedStrategy<String> {
    "[a-z/._-]{1,8}|\\PC{1,6}|[ '\"\\\\$|*]{1,4}".boxed()
}

fn words() -> BoxedStrategy<Vec<String>> {
    vec(word(), 1..4).boxed()
}

fn names() -> BoxedStrategy<Vec<String>> {
    subsequence(vec!["a", "b-1", "c.d", "e@f", "_g"], 0..3)
        .prop_map(|names| names.into_iter().map(String::from).collect())
        .boxed()
}

fn account() -> BoxedStrategy<String> {
    "[a-z_][a-z0-9_-]{0,8}|[1-9][0-9]{0,8}".boxed()
}

fn signal() -> BoxedStrategy<Signal> {
    (1..=64i32).prop_filter_map("a signal", Signal::from_number).boxed()
}

fn target() -> BoxedStrategy<ProbeTarget> {
    let status = (100..300u16, 300..600u16).prop_map(|(low, high)| (low, high));
    let single = (100..600u16).prop_map(|code| (code, code));
    let http =
        (vec(prop_oneof![status, single], 1..3), vec(("[A-Za-z-]{1,8}", "[ -~]{0,8}"), 0..3), option::of(word()));
    prop_oneof![
        http.prop_map(|(expected_status, headers, body)| {
            ProbeTarget::Http(HttpProbe {
                url: "http://127.0.0.1:80/x".into(),
                method: "HEAD".into(),
                expected_status,
                headers,
                body,
            })
        }),
        ("[a-z.]{1,8}", 1..=u16::MAX).prop_map(|(host, port)| ProbeTarget::Tcp { host, port }),
        words().prop_map(ProbeTarget::Exec),
        (0..1_000u64).prop_map(|id| ProbeTarget::Function(FunctionId(id))),
    ]
    .boxed()
}

fn ready() -> BoxedStrategy<Ready> {
    prop_oneof![
        Just(Ready::Executed),
        Just(Ready::Notify),
        "[a-z. ]{1,8}".prop_map(Ready::logline),
        (target(), option::of(duration()), option::of(duration()))
            .prop_map(|(target, interval, timeout)| Ready::Probe(Probe { target, interval, timeout })),
    ]
    .boxed()
}

fn health() -> BoxedStrategy<Health> {
    (target(), duration(), duration(), (1..9u32, 1..9u32, 0..9u32), duration())
        .prop_map(|(target, interval, timeout, (retries, successes, restart_after), start_period)| Health {
            target,
            interval,
            timeout,
            retries,
            successes,
            start_period,
            restart_after,
        })
        .boxed()
}

fn hook() -> BoxedStrategy<Hook> {
    let command = (words(), option::of(account())).prop_map(|(command, user)| Hook { user, ..Hook::command(command) });
    let function = (0..9u64).prop_map(|id| Hook::function(FunctionId(id)));
    (prop_oneof![command, function], duration()).prop_map(|(hook, timeout)| hook.timeout(timeout)).boxed()
}

fn hooks() -> BoxedStrategy<Hooks> {
    let list = || vec(hook(), 0..3);
    (list(), list(), list(), list(), list())
        .prop_map(|(before_start, after_start, before_stop, after_stop, on_failure)| Hooks {
            before_start,
            after_start,
            before_stop,
            after_stop,
            on_failure,
        })
        .boxed()
}

fn restart() -> BoxedStrategy<Restart> {
    let policy = select(POLICIES.map(|(_, policy)| policy).to_vec());
    (policy, duration(), duration(), 1.0..9.0f64, 0.0..1.0f64, (0..99u32, duration()), duration())
        .prop_map(|(policy, delay, more, factor, jitter, (burst, interval), reset_after)| Restart {
            policy,
            delay,
            factor,
            max_delay: delay + more,
            jitter,
            limit: StartLimit { burst, interval },
            reset_after,
        })
        .boxed()
}

fn stop() -> BoxedStrategy<Stop> {
    let step = (signal(), duration()).prop_map(|(signal, wait)| StopStep { signal, wait });
    (select(MODES.map(|(_, mode)| mode).to_vec()), option::of(words()), vec(step, 1..4))
        .prop_map(|(mode, command, sequence)| Stop { mode, command, sequence })
        .boxed()
}

fn stream() -> BoxedStrategy<Stream> {
    prop_oneof![Just(Stream::Capture), Just(Stream::Inherit), Just(Stream::Null), "/[a-z]{1,8}".prop_map(Stream::File),]
        .boxed()
}

fn log() -> BoxedStrategy<LogSettings> {
    (0..1u64 << 30, option::of(word()), 1..1u64 << 40, 0..99u32, stream(), stream())
        .prop_map(|(ring, file, max_size, keep, stdout, stderr)| LogSettings {
            ring,
            file,
            max_size,
            keep,
            stdout,
            stderr,
        })
        .boxed()
}

fn limits() -> BoxedStrategy<Limits> {
    let size = || option::of(1..1u64 << 50);
    let weight = || option::of(1..=10_000u64);
    (size(), size(), size(), weight(), weight(), weight(), weight(), option::of(-1_000..=1_000i32))
        .prop_map(|(memory, memory_high, memory_low, cpu_millis, cpu_weight, pids, io_weight, oom_score_adj)| Limits {
            memory,
            memory_high: memory_high.filter(|high| memory.is_none_or(|most| *high <= most)),
            memory_low: memory_low.filter(|low| memory.is_none_or(|most| *low <= most)),
            cpu_millis,
            cpu_weight,
            pids,
            io_weight,
            oom_score_adj,
        })
        .boxed()
}

fn listener() -> BoxedStrategy<Listener> {
    let path = || "/[a-z]{1,8}";
    let address = prop_oneof![
        (1..=u16::MAX).prop_map(|port| ListenAddress::Tcp(format!("127.0.0.1:{port}"))),
        (1..=u16::MAX).prop_map(|port| ListenAddress::Udp(format!("[::1]:{port}"))),
        path().prop_map(ListenAddress::Unix),
        path().prop_map(ListenAddress::UnixDgram),
        path().prop_map(ListenAddress::UnixSeqpacket),
        path().prop_map(ListenAddress::Fifo),
    ];
    let names = (option::of("[a-z]{1,8}"), option::of("[A-Z]{1,8}"), option::of("[A-Z]{1,8}"));
    (address, names, option::of(1..99u32), option::of(duration()), 0..=0o777u32, option::of(account()), 1..9_999u32)
        .prop_map(|(address, (name, fd_env, client_fd_env), accept, idle_stop, mode, user, backlog)| Listener {
            name,
            address,
            accept,
            idle_stop,
            mode,
            group: user.clone(),
            user,
            backlog,
            fd_env,
            client_fd_env,
        })
        .boxed()
}

fn rlimits() -> BoxedStrategy<BTreeMap<String, Rlimit>> {
    let names: Vec<String> = RLIMITS.keys().map(|key| key.name.to_owned()).collect();
    let limit = (option::of(0..1u64 << 62), option::of(0..1u64 << 62)).prop_map(|(soft, hard)| match hard {
        Some(hard) => Rlimit { soft: Some(soft.unwrap_or(hard).min(hard)), hard: Some(hard) },
        None => Rlimit { soft, hard: None },
    });
    btree_map(select(names), limit, 0..3).boxed()
}

fn capabilities() -> BoxedStrategy<Vec<String>> {
    subsequence(CAPABILITIES.to_vec(), 0..4).prop_map(|names| names.into_iter().map(String::from).collect()).boxed()
}

/// A change of a spec. Boxed: a strategy for all fields at once is more than a test's stack holds.
struct Set(Box<dyn FnOnce(Spec) -> Spec>);

impl Set {
    fn new(change: impl FnOnce(Spec) -> Spec + 'static) -> Set {
        Set(Box::new(change))
    }
}

impl std::fmt::Debug for Set {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Set")
    }
}

fn execution() -> BoxedStrategy<Spec> {
    let flags = proptest::array::uniform6(any::<bool>());
    let kind = select(TYPES.map(|(_, kind)| kind).to_vec());
    let variables = (btree_map("[A-Z_]{1,3}", word(), 0..3), btree_map("[a-z]{1,3}", word(), 0..2));
    let files = vec((word(), any::<bool>()).prop_map(|(path, optional)| EnvFile { path, optional }), 0..3);
    (words(), kind, flags, variables, files, (option::of("[a-z ]{1,9}"), option::of(word()), option::of(word())), log())
        .prop_map(|(command, kind, flags, (env, secret), env_file, (description, working_dir, pidfile), log)| Spec {
            process_type: kind,
            remain: flags[0],
            auto_start: flags[1],
            critical: flags[2],
            clear_env: flags[3],
            no_new_privs: flags[4],
            volatile: flags[5],
            env,
            secret_env: secret.into_iter().map(|(name, value)| (name, Secret::new(value))).collect(),
            env_file,
            description,
            working_dir,
            pidfile,
            log,
            ..Spec::new("sample", command)
        })
        .boxed()
}

fn rights() -> BoxedStrategy<Set> {
    let accounts = (option::of(account()), option::of(account()), option::of(vec(account(), 0..3)));
    let numbers = (option::of(0..=0o777u32), option::of(-20..=19i32));
    (accounts, numbers, rlimits(), capabilities(), option::of(capabilities()), limits())
        .prop_map(
            move |(
                (user, group, groups),
                (umask, nice),
                rlimits,
                ambient_capabilities,
                bounding_capabilities,
                limits,
            )| {
                Set::new(move |spec| Spec {
                    user,
                    group,
                    groups,
                    umask,
                    nice,
                    rlimits,
                    ambient_capabilities,
                    bounding_capabilities,
                    limits,
                    ..spec
                })
            },
        )
        .boxed()
}

fn directory() -> BoxedStrategy<Directory> {
    ("[a-z]{1,8}", prop_oneof![Just(0o755), 0..=0o7777u32]).prop_map(|(path, mode)| Directory { path, mode }).boxed()
}

fn relations() -> BoxedStrategy<Set> {
    let check = option::of(any::<u32>().prop_map(|id| FunctionId(id.into())));
    let conditions = (vec(word(), 0..2), vec(word(), 0..2), vec(word(), 0..2), vec(word(), 0..2), check);
    ((names(), names(), names(), names()), (names(), names(), names(), names()), conditions)
        .prop_map(move |((requires, wants, binds_to, follows), (part_of, conflicts, after, before), conditions)| {
            Set::new(move |spec| Spec {
                requires,
                wants,
                binds_to,
                follows,
                part_of,
                conflicts,
                after,
                before,
                conditions: Conditions {
                    path_exists: conditions.0,
                    path_executable: conditions.1,
                    file_not_empty: conditions.2,
                    env: conditions.3,
                    check: conditions.4,
                },
                ..spec
            })
        })
        .boxed()
}

fn lifecycle() -> BoxedStrategy<Set> {
    let codes = subsequence(vec![1, 2, 3, 255], 0..3);
    let signals = subsequence(vec![Signal::HUP, Signal::INT, Signal::PIPE], 0..3);
    let mark = option::of("[ -~]{0,80}".prop_map(crate::spec::mark));
    let reload = prop_oneof![signal().prop_map(Reload::Signal), words().prop_map(Reload::Command)];
    let times = (option::of(duration()), option::of(duration()));
    let directories = || vec(directory(), 0..3);
    let places = (vec(listener(), 0..3), directories(), directories(), directories(), directories());
    (
        (ready(), option::of(health()), restart(), stop()),
        (codes, signals),
        option::of((reload, mark)),
        hooks(),
        times,
        places,
    )
        .prop_map(move |((ready, health, restart, stop), (codes, success_signals), reload, hooks, times, places)| {
            Set::new(move |spec| Spec {
                ready,
                health,
                restart,
                stop,
                success_exit_status: std::iter::once(0).chain(codes).collect(),
                success_signals,
                reload: reload.clone().map(|(how, _)| how),
                reload_on_change: reload.and_then(|(_, mark)| mark),
                hooks,
                start_timeout: times.0,
                watchdog: times.1,
                listen: places.0,
                runtime_directory: places.1,
                state_directory: places.2,
                cache_directory: places.3,
                logs_directory: places.4,
                ..spec
            })
        })
        .boxed()
}

/// Any spec that the reader would read, with every field at work; not all of them pass validation.
pub(crate) fn specs() -> BoxedStrategy<Spec> {
    (execution(), rights(), relations(), lifecycle())
        .prop_map(|(spec, rights, relations, lifecycle)| lifecycle.0(relations.0(rights.0(spec))))
        .boxed()
}
