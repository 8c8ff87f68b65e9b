//! What a restart's batch costs: about 400 bytes of one process, into a file on a tmpfs.

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
