//! What a restart's batch costs: about 400 bytes of one process, into a file on a tmpfs.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use neap::core::{ProcessId, RecordKey};
use neap::ledger::Ledger;

fn batches(c: &mut Criterion) {
    let shared = PathBuf::from("/dev/shm");
    let base = if shared.is_dir() { shared } else { std::env::temp_dir() };
    let path = base.join(format!("neap-bench-ledger-{}", std::process::id()));
    let (mut ledger, ..) = Ledger::open(&path, "bench").expect("a ledger");
    let mut group = c.benchmark_group("ledger");
    group.throughput(Throughput::Elements(1));
    let bare_path = path.with_extension("bare");
    let mut bare = OpenOptions::new().append(true).create(true).open(&bare_path).expect("a file");
    let mut written = 0;
    let bytes = [b'x'; 401];
    group.bench_function("floor: one write of as many bytes", |b| {
        b.iter(|| {
            written += bare.write(&bytes).expect("written");
            if written > 1 << 20 {
                bare.set_len(0).expect("cut");
                written = 0;
            }
        });
    });
    std::fs::remove_file(bare_path).expect("removed");
    let mut next = 0;
    group.bench_function("a batch of 400 bytes", |b| {
        b.iter(|| {
            next = (next + 1) % 100;
            let batch = [(RecordKey::Process(ProcessId(next)), Some(vec![b'x'; 380]))];
            ledger.write(&batch).expect("written");
        });
    });
    group.finish();
    drop(ledger);
    std::fs::remove_file(path).expect("removed");
}

criterion_group!(benches, batches);
criterion_main!(benches);
