//! Cases E4 and A13: a ledger that is torn, damaged, old, newer, of another boot, or somebody else's.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use neap::core::RecordKey;
use neap::ledger::{Found, Ledger, LedgerError, Records};
use proptest::prelude::*;

use crate::support::{BOOT, Batch, Folder, batches, open, process, read, states, written};

#[test]
fn what_was_written_is_read_and_written_on() {
    let folder = Folder::new();
    let path = folder.path("ledger");
    let (mut ledger, records, found) = open(&path).expect("a ledger");
    assert_eq!((records, found), (Records::default(), Found::Nothing));
    let (batches, states) = (batches(), states(&batches()));
    for (index, batch) in batches.iter().enumerate() {
        ledger.write(batch).expect("written");
        drop(ledger);
        let (again, records, found) = open(&path).expect("a ledger");
        assert_eq!((records.current, found), (states[index + 1].clone(), Found::Whole), "after batch {index}");
        ledger = again;
    }
    assert!(!ledger.is_behind());
    assert_eq!(folder.names(), ["ledger"]);
    assert_eq!(fs::metadata(&path).expect("the file").mode() & 0o7777, 0o600);
}

#[test]
fn e4_cut_at_any_byte_it_holds_what_was_written_before() {
    let (batches, states) = (batches(), states(&batches()));
    let (bytes, lengths) = written(&batches);
    let folder = Folder::new();
    let path = folder.path("ledger");
    for cut in 0..=bytes.len() {
        fs::write(&path, &bytes[..cut]).expect("the file");
        let whole = lengths.iter().take_while(|length| **length <= cut).count();
        let (mut ledger, records, found) = open(&path).expect("a ledger");
        assert_eq!(records.current, states[whole.saturating_sub(1)], "cut at {cut}");
        let expected = match (cut, lengths.get(whole.wrapping_sub(1))) {
            (0, _) => Found::Nothing,
            (_, None) => Found::Torn { batches: 0, lost: cut as u64 },
            (_, Some(length)) if *length == cut => Found::Whole,
            (_, Some(length)) => Found::Torn { batches: whole - 1, lost: (cut - length) as u64 },
        };
        assert_eq!(found, expected, "cut at {cut}");
        // It goes on after what is whole, and the next reader finds nothing amiss.
        ledger.write(&[(process(9), Some(b"after".to_vec()))]).expect("written");
        drop(ledger);
        let mut held = states[whole.saturating_sub(1)].clone();
        held.push((process(9), b"after".to_vec()));
        held.sort();
        assert_eq!(read(&path), (held, Found::Whole), "cut at {cut}");
        assert_eq!(folder.names(), ["ledger"]);
    }
}

#[test]
fn e4_any_bit_flipped_is_found_and_nothing_after_it_is_believed() {
    let (batches, states) = (batches(), states(&batches()));
    let (bytes, lengths) = written(&batches);
    for bit in 0..bytes.len() * 8 {
        let folder = Folder::new();
        let path = folder.path("ledger");
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, &flipped).expect("the file");
        let whole = lengths.iter().take_while(|length| **length <= bit / 8).count();
        let (held, found) = read(&path);
        assert_eq!(held, states[whole.saturating_sub(1)], "bit {bit}");
        match found {
            // A length that is too long now looks like a file that is too short.
            Found::Torn { batches, .. } => assert_eq!(batches, whole.saturating_sub(1), "bit {bit}"),
            Found::Damaged { batches, aside, .. } => {
                assert_eq!(batches, whole.saturating_sub(1), "bit {bit}");
                assert_eq!(fs::read(&aside).expect("kept"), flipped, "bit {bit}: the damaged file was not kept");
            }
            other => panic!("bit {bit}: {other:?}"),
        }
        assert_eq!(read(&path), (held, Found::Whole), "bit {bit}: it was not mended");
    }
}

#[test]
fn e4_of_another_boot_no_pid_is_believed() {
    let folder = Folder::new();
    let path = folder.path("ledger");
    fs::write(&path, written(&batches()).0).expect("the file");
    let (ledger, records, found) = Ledger::open_in_boot(&path, "web", "another").expect("a ledger");
    assert_eq!(found, Found::OtherBoot);
    let known = states(&batches()).pop().expect("a state");
    assert_eq!(records, Records { other_boot: known, ..Records::default() });
    drop(ledger);
    let (_, records, found) = Ledger::open_in_boot(&path, "web", "another").expect("a ledger");
    assert_eq!((records, found), (Records::default(), Found::Whole), "it was not begun anew");
}

#[test]
fn e4_another_instances_ledger_and_what_is_none_are_moved_aside_and_kept() {
    let folder = Folder::new();
    let path = folder.path("ledger");
    let theirs = written(&batches()).0;
    fs::write(&path, &theirs).expect("the file");
    let (_, records, found) = Ledger::open_in_boot(&path, "other", BOOT).expect("a ledger");
    let aside = folder.path("ledger.foreign");
    assert_eq!(records, Records::default());
    assert_eq!(found, Found::OtherInstance { instance: "web".to_owned(), aside: aside.clone() });
    assert_eq!(fs::read(&aside).expect("kept"), theirs);

    for text in ["#!/bin/sh\nno ledger at all\n", "N", "x"] {
        fs::write(&path, text).expect("the file");
        let (held, found) = read(&path);
        assert_eq!(held, []);
        match found {
            Found::Foreign { aside: second } => {
                assert_ne!(second, aside, "what was moved aside before is gone");
                assert_eq!(fs::read_to_string(second).expect("kept"), text);
            }
            other => assert_eq!((text, other), ("N", Found::Torn { batches: 0, lost: 1 })),
        }
    }
    assert_eq!(fs::read(&aside).expect("kept"), theirs);
}

#[test]
fn e4_a_file_that_is_not_ours_is_refused_and_left_alone() {
    let folder = Folder::new();
    let refused = |name: &str, why: &str| {
        let error = open(&folder.path(name)).expect_err("refused").to_string();
        assert!(error.contains(why) && error.contains(name), "{error}");
    };
    fs::write(folder.path("target"), "text").expect("a file");
    symlink(folder.path("target"), folder.path("link")).expect("a link");
    refused("link", "it is a symbolic link");
    assert_eq!(fs::read_to_string(folder.path("target")).expect("the target"), "text");
    fs::create_dir(folder.path("folder")).expect("a folder");
    refused("folder", "it is a folder");
    nix::unistd::mkfifo(&folder.path("fifo"), nix::sys::stat::Mode::from_bits_truncate(0o600)).expect("a FIFO");
    refused("fifo", "not a regular file");
    refused("missing/ledger", "cannot");
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: e4_a_file_that_is_not_ours_is_refused_and_left_alone: another user's file: not root");
        return;
    }
    fs::write(folder.path("theirs"), "text").expect("a file");
    std::os::unix::fs::chown(folder.path("theirs"), Some(12345), None).expect("given away");
    refused("theirs", "it belongs to the user with id 12345");
}

#[test]
fn a_file_that_others_could_read_is_closed_to_them() {
    let folder = Folder::new();
    let path = folder.path("ledger");
    fs::write(&path, written(&batches()).0).expect("the file");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("a mode");
    assert_eq!(read(&path).1, Found::Whole);
    assert_eq!(fs::metadata(&path).expect("the file").mode() & 0o7777, 0o600);
}

/// Written by version 1; every version reads it.
const VERSION_1: &[u8] = include_bytes!("../data/ledger-v1");

/// The first twelve bytes with another version, and the crc of them: the same in every version.
fn with_version(bytes: &[u8], version: u32) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    changed[8..12].copy_from_slice(&version.to_le_bytes());
    let crc = crc32fast::hash(&changed[..12]);
    changed[12..16].copy_from_slice(&crc.to_le_bytes());
    changed
}

#[test]
fn a13_every_version_of_the_format_is_read_or_refused_untouched() {
    let folder = Folder::new();
    let path = folder.path("ledger");
    fs::write(&path, VERSION_1).expect("the file");
    assert_eq!(read(&path), (states(&batches()).pop().expect("a state"), Found::Whole));

    for version in [2, 1000, u32::MAX] {
        // Whatever follows in it, it is told by its start alone.
        for length in [16, 30, VERSION_1.len()] {
            let newer = with_version(&VERSION_1[..length], version);
            fs::write(&path, &newer).expect("the file");
            match open(&path) {
                Err(LedgerError::Newer { version: told, .. }) => assert_eq!(told, version),
                other => panic!("{other:?}"),
            }
            assert_eq!(fs::read(&path).expect("the file"), newer, "it was touched");
        }
    }
    assert_eq!(folder.names(), ["ledger"]);

    fs::write(&path, with_version(VERSION_1, 0)).expect("the file");
    assert!(matches!(read(&path).1, Found::Damaged { batches: 0, .. }), "there never was a version 0");
}

#[test]
fn a13_this_version_writes_what_it_is_known_to_write() {
    if std::env::var_os("NEAP_BLESS").is_some() {
        fs::write("tests/data/ledger-v1", written(&batches()).0).expect("the fixture");
    }
    assert_eq!(written(&batches()).0, VERSION_1, "the format changed: give it a new version, and keep the old fixture");
}

#[test]
fn a13_records_of_a_kind_that_only_a_newer_version_knows_are_counted_and_left_out() {
    let folder = Folder::new();
    let path = folder.path("ledger");
    let mut bytes = VERSION_1.to_vec();
    let mut payload = vec![200];
    payload.extend_from_slice(&5u64.to_le_bytes());
    payload.extend_from_slice(&3u32.to_le_bytes());
    payload.extend_from_slice(b"new");
    let length = (payload.len() as u32).to_le_bytes();
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&length);
    hasher.update(&payload);
    bytes.extend_from_slice(&length);
    bytes.extend_from_slice(&hasher.finalize().to_le_bytes());
    bytes.extend_from_slice(&payload);
    fs::write(&path, &bytes).expect("the file");
    let (mut ledger, records, found) = open(&path).expect("a ledger");
    let mut known = states(&batches()).pop().expect("a state");
    assert_eq!((records, found), (Records { current: known.clone(), unknown: 1, ..Records::default() }, Found::Whole));
    assert_eq!(fs::read(&path).expect("the file"), bytes, "the version that wrote it may come back until we go on");
    ledger.write(&[(process(9), Some(b"on".to_vec()))]).expect("written");
    drop(ledger);
    known.push((process(9), b"on".to_vec()));
    known.sort();
    let (_, records, _) = open(&path).expect("a ledger");
    assert_eq!(records, Records { current: known, ..Records::default() }, "what is out of date is still there");
}

#[test]
fn a_file_that_is_mostly_waste_is_written_anew() {
    let folder = Folder::new();
    let path = folder.path("ledger");
    let (mut ledger, ..) = open(&path).expect("a ledger");
    let mut largest = 0;
    for round in 0..20_000u32 {
        let bytes = round.to_le_bytes().repeat(100);
        ledger.write(&[(process(u64::from(round % 10)), Some(bytes))]).expect("written");
        largest = largest.max(fs::metadata(&path).expect("the file").len());
    }
    assert!(largest < (1 << 20) + 1000, "{largest} bytes for 4,000");
    assert!(largest > (1 << 20) - 1000, "written anew more often than it need be");
    assert_eq!(folder.names(), ["ledger"]);
    drop(ledger);
    let expected: Vec<_> =
        (19_990..20_000u32).map(|n| (process(u64::from(n % 10)), n.to_le_bytes().repeat(100))).collect();
    assert_eq!(read(&path), (expected, Found::Whole));
}

#[test]
fn what_is_large_and_no_waste_is_written_anew_in_pieces() {
    let folder = Folder::new();
    let path = folder.path("ledger");
    let (mut ledger, ..) = open(&path).expect("a ledger");
    for round in 0..6u8 {
        let batch: Batch = (0..40).map(|id| (process(id), Some(vec![round; 20_000]))).collect();
        ledger.write(&batch).expect("written");
    }
    let length = fs::metadata(&path).expect("the file").len();
    assert!(length < 4 * 40 * 20_000, "{length} bytes");
    drop(ledger);
    let expected: Vec<_> = (0..40).map(|id| (process(id), vec![5u8; 20_000])).collect();
    assert_eq!(read(&path), (expected, Found::Whole));
}

fn any_key() -> impl Strategy<Value = RecordKey> {
    prop_oneof![
        Just(RecordKey::Instance),
        (0..3u64).prop_map(RecordKey::Spec),
        (0..6u64).prop_map(process),
        (0..3u64).prop_map(RecordKey::Driver),
    ]
}

fn any_batch() -> impl Strategy<Value = Batch> {
    let bytes = proptest::option::weighted(0.8, proptest::collection::vec(any::<u8>(), 0..60));
    proptest::collection::vec((any_key(), bytes), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// A crash at any byte of any history leaves a prefix of the batches, none of them by half.
    #[test]
    fn e4_a_crash_at_any_byte_leaves_a_prefix_of_the_batches(batches in proptest::collection::vec(any_batch(), 0..8), at in any::<prop::sample::Index>()) {
        let (bytes, lengths) = written(&batches);
        let states = states(&batches);
        let cut = at.index(bytes.len() + 1);
        let folder = Folder::new();
        let path = folder.path("ledger");
        fs::write(&path, &bytes[..cut]).expect("the file");
        let whole = lengths.iter().take_while(|length| **length <= cut).count().saturating_sub(1);
        prop_assert_eq!(&read(&path).0, &states[whole]);
    }

    /// Whatever a file holds, it is read without a panic, and is gone on with.
    #[test]
    fn h11_any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..300), from_start in any::<bool>()) {
        let folder = Folder::new();
        let path = folder.path("ledger");
        let mut all = if from_start { written(&[]).0 } else { Vec::new() };
        all.extend_from_slice(&bytes);
        fs::write(&path, &all).expect("the file");
        if let Ok((mut ledger, ..)) = open(&path) {
            ledger.write(&[(process(1), Some(b"on".to_vec()))]).expect("written");
        }
    }
}
