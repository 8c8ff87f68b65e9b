//! Output as fast as a program can print it, to a log file, beside the least reader that a pipe can have (read 64 KiB,
//! write them to a file): interleaved rounds, medians, ratios. Criterion then measures ours alone.

#[path = "floor/mod.rs"]
#[allow(dead_code, reason = "this floor is in Rust")]
mod floor;

use std::fs::{self, File};
use std::hint::black_box;
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};
use neap::core::StateName;
use neap::spec::{LogSettings, Restart, Spec};
use neap::{Process, Supervisor};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::{TimeVal, TimeValLike};

const ROUNDS: usize = 7;

/// What is printed: the name, how many lines, how many of them with one write.
const FLOODS: [(&str, u64, u64); 3] = [
    ("lines of 100 bytes, 64 KiB a write", 1_500_000, 650),
    ("lines of 12 bytes, 4 KiB a write", 3_000_000, 340),
    ("a short line a write", 500_000, 1),
];

/// One write's worth of lines.
fn text(flood: usize) -> Vec<u8> {
    let (_, _, together) = FLOODS[flood];
    let line = if flood == 0 { format!("{}\n", ".".repeat(99)) } else { "0123456789a\n".into() };
    line.repeat(usize::try_from(together).expect("a few")).into_bytes()
}

/// Prints a flood: this is what the supervised program does.
fn print(flood: usize) {
    let (_, count, together) = FLOODS[flood];
    let mut out = File::options().write(true).open("/dev/stdout").expect("a standard output");
    let text = text(flood);
    for _ in 0..count / together {
        out.write_all(&text).expect("somebody reads");
    }
}

fn size(flood: usize) -> u64 {
    let (_, count, together) = FLOODS[flood];
    count / together * text(flood).len() as u64
}

/// The time that this program's threads have computed for.
fn computed() -> u64 {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("it can be asked");
    let micros = |time: TimeVal| u64::try_from(time.num_microseconds()).unwrap_or(0);
    micros(usage.user_time()) + micros(usage.system_time())
}

fn nanos(from: Instant) -> u64 {
    u64::try_from(from.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// The least reader.
fn theirs(flood: usize, path: &Path) -> u64 {
    let _stale = fs::remove_file(path);
    let from = Instant::now();
    let mut child = Command::new(std::env::current_exe().expect("our own path"))
        .args(["print", &flood.to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .expect("we can be executed");
    let mut pipe = child.stdout.take().expect("a pipe");
    let file = File::create(path).expect("a file can be made");
    let mut buffer = vec![0; 64 << 10];
    let mut end = 0;
    loop {
        let count = pipe.read(&mut buffer).expect("the pipe can be read");
        if count == 0 {
            break;
        }
        file.write_all_at(&buffer[..count], end).expect("the disk has room");
        end += count as u64;
    }
    child.wait().expect("it is ours");
    nanos(from)
}

fn ours(process: &Process, path: &Path, flood: usize) -> u64 {
    let _stale = fs::remove_file(path);
    let from = Instant::now();
    process.start_blocking().expect("it starts");
    process.wait(StateName::Exited).wait().expect("it ends");
    while !fs::metadata(path).is_ok_and(|m| m.len() == size(flood)) {
        process.flush_log();
    }
    nanos(from)
}

/// The same into memory alone.
fn to_ring(process: &Process) -> u64 {
    let from = Instant::now();
    process.start_blocking().expect("it starts");
    process.wait(StateName::Exited).wait().expect("it ends");
    nanos(from)
}

fn main() {
    let mut args = std::env::args().skip(1);
    if args.next().as_deref() == Some("print") {
        return print(args.next().and_then(|n| n.parse().ok()).expect("which flood"));
    }
    let folder = std::env::temp_dir().join(format!("neap-log-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder can be made");
    let supervisor = Supervisor::builder().base_dir(&folder).build().expect("a supervisor");
    let mut criterion =
        Criterion::default().configure_from_args().measurement_time(Duration::from_secs(5)).sample_size(10);
    let mut group = criterion.benchmark_group("log");
    for (flood, (name, count, _)) in FLOODS.iter().enumerate() {
        let program = std::env::current_exe().expect("our own path").display().to_string();
        let command = [program, "print".into(), flood.to_string()];
        let spec = |name: &str, log| Spec::new(name, command.clone()).oneshot().restart(Restart::never()).log(log);
        let log = LogSettings { file: Some(format!("{flood}.log")), max_size: 1 << 40, ..LogSettings::default() };
        let filed = supervisor.add(spec(&format!("file{flood}"), log)).expect("a good spec");
        let ring = supervisor.add(spec(&format!("ring{flood}"), LogSettings::default())).expect("a good spec");
        let (path, floor_path) = (folder.join(format!("{flood}.log")), folder.join("floor.log"));
        let (mut base, mut own, mut memory) = (Vec::new(), Vec::new(), Vec::new());
        let mut computing = [0; 4];
        for _ in 0..ROUNDS {
            computing[0] = computed();
            base.push(theirs(flood, &floor_path));
            computing[1] = computed();
            own.push(ours(&filed, &path, flood));
            computing[2] += computed() - computing[1];
            computing[3] += computing[1] - computing[0];
            memory.push(to_ring(&ring));
        }
        let (base, own, memory) = (floor::median(base), floor::median(own), floor::median(memory));
        let rate = |time: u64| size(flood) as f64 / 1e6 / (time as f64 / 1e9);
        println!(
            "{name}: least reader {:.0} MB/s; neap to a file {:.0} MB/s ({:.2} of its time, {:.2} of its computing), {:.1} million lines/s; to memory {:.0} MB/s",
            rate(base),
            rate(own),
            own as f64 / base.max(1) as f64,
            computing[2] as f64 / computing[3].max(1) as f64,
            *count as f64 / 1e6 / (own as f64 / 1e9),
            rate(memory),
        );
        group.throughput(Throughput::Bytes(size(flood)));
        group.bench_function(*name, |b| {
            b.iter_custom(|rounds| {
                (0..rounds).map(|_| Duration::from_nanos(ours(&filed, &path, black_box(flood)))).sum()
            });
        });
    }
    group.finish();
    criterion.final_summary();
    let _ended = supervisor.shutdown().wait();
    let _gone = fs::remove_dir_all(&folder);
}
