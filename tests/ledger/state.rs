//! The state folder: definitions made at run time, and what generations were evaluated from.

use std::fs;
use std::os::unix::fs::MetadataExt;

use neap::ledger::{Definitions, StateError};
use neap::spec::{Secret, Spec};

use crate::support::Folder;

fn spec(name: &str) -> Spec {
    Spec::new(name, ["sleep", "1000"]).secret_env("TOKEN", Secret::new("s3cret"))
}

#[test]
fn definitions_are_there_again_with_their_secrets_and_closed_to_others() {
    let folder = Folder::new();
    let state = folder.path("state");
    let definitions = Definitions::open(&state).expect("a folder");
    assert!(definitions.read().expect("read").0.is_empty());
    for name in ["web", "api", "a.json", "x@1"] {
        definitions.write(&spec(name)).expect("written");
    }
    definitions.write(&spec("api").description("changed")).expect("written");
    definitions.remove("web").expect("removed");
    definitions.remove("web").expect("gone already");

    let (read, problems) = Definitions::open(&state).expect("a folder").read().expect("read");
    assert!(problems.is_empty(), "{problems:?}");
    assert_eq!(read, [spec("a.json"), spec("api").description("changed"), spec("x@1")]);
    let mode = |path| fs::metadata(path).expect("it is there").mode() & 0o7777;
    assert_eq!(mode(state.join("definitions")), 0o700);
    assert_eq!(mode(state.join("definitions/api.json")), 0o600);

    for name in ["../lock", "", ".hidden", "a/b"] {
        definitions.write(&spec(name)).expect_err("no name of a process");
        definitions.remove(name).expect_err("no name of a process");
    }
}

#[test]
fn a_damaged_definition_is_moved_aside_and_told_and_a_newer_one_is_left_alone() {
    let folder = Folder::new();
    let definitions = Definitions::open(&folder.path("")).expect("a folder");
    for name in ["cut", "newer", "other", "whole"] {
        definitions.write(&spec(name)).expect("written");
    }
    let path = |name: &str| folder.path(&format!("definitions/{name}"));
    let whole = fs::read_to_string(path("whole.json")).expect("text");
    fs::write(path("cut.json"), &whole[..whole.len() / 2]).expect("written");
    fs::write(path("other.json"), &whole).expect("written");
    fs::write(path("newer.json"), r#"{"version":2,"spec":"whatever it is then"}"#).expect("written");
    fs::write(path("half.json.new"), "left behind by a crash").expect("written");
    fs::write(path(".nobodys.json"), "no definition").expect("written");

    let (read, problems) = definitions.read().expect("read");
    assert_eq!(read, [spec("whole")]);
    let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(problems.len(), 3, "{told:?}");
    assert!(matches!(problems[0], StateError::Damaged { .. }) && told[0].contains("cut.json.damaged"), "{told:?}");
    assert!(matches!(problems[1], StateError::Newer { version: 2, .. }), "{told:?}");
    assert!(told[2].contains("it defines `whole`"), "{told:?}");
    assert_eq!(fs::read_to_string(path("cut.json.damaged")).expect("kept"), whole[..whole.len() / 2]);
    assert_eq!(fs::read_to_string(path("other.json.damaged")).expect("kept"), whole);

    // Nothing is written over what only a newer version can read.
    assert!(matches!(definitions.write(&spec("newer")), Err(StateError::Newer { version: 2, .. })));
    let (read, problems) = definitions.read().expect("read");
    assert_eq!((read.len(), problems.len()), (1, 1), "the others were dealt with");
}

/// Written by version 1; every version reads it.
const VERSION_1: &str = include_str!("../data/definition-v1.json");

#[test]
fn a13_definitions_of_every_version_are_read() {
    let folder = Folder::new();
    let definitions = Definitions::open(&folder.path("")).expect("a folder");
    let path = folder.path("definitions/api.json");
    if std::env::var_os("NEAP_BLESS").is_some() {
        definitions.write(&spec("api")).expect("written");
        fs::copy(&path, "tests/data/definition-v1.json").expect("the fixture");
    }
    fs::write(&path, VERSION_1).expect("written");
    let (read, problems) = definitions.read().expect("read");
    assert!(problems.is_empty(), "{problems:?}");
    assert_eq!(read, [spec("api")]);
}

#[cfg(feature = "lua")]
mod generations {
    use std::collections::BTreeMap;
    use std::ffi::OsStr;
    use std::fs;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::MetadataExt;
    use std::path::PathBuf;

    use neap::ledger::{Generations, Record, StateError, Told};
    use neap::lua::{Entry, Input, InputKind, Recorded};

    use crate::support::Folder;

    fn record() -> Record {
        Record { recorded: recorded(), told: Told::default() }
    }

    fn recorded() -> Recorded {
        let input = |kind, name: &str, content: &[u8]| {
            let path = PathBuf::from(OsStr::from_bytes(b"/etc/neap/not \xff text.lua"));
            Input { kind, name: name.to_owned(), path, content: content.into() }
        };
        Recorded {
            entry: Entry::File(PathBuf::from("neap.lua")),
            root: PathBuf::from("/etc/neap"),
            display_root: PathBuf::from("."),
            env: BTreeMap::from([("TOKEN".to_owned(), "s3cret".to_owned())]),
            profiles: vec!["dev".to_owned()],
            inputs: vec![
                input(InputKind::File, "neap.lua", b"a file\nwith lines\n"),
                input(InputKind::File, "blob", &[0, 10, 255]),
                input(InputKind::Names, "/etc/neap/*.conf", b""),
                input(InputKind::Secret, "/run/secrets/token", b"s3cret"),
            ],
        }
    }

    #[test]
    fn what_a_generation_was_evaluated_from_is_there_again_and_closed_to_others() {
        let folder = Folder::new();
        let state = folder.path("state");
        let generations = Generations::open(&state).expect("a folder");
        assert_eq!(generations.read(7).expect("read"), None);
        let of = |entry| Record { recorded: Recorded { entry, ..recorded() }, told: Told::default() };
        let text = of(Entry::Source { name: "x".into(), text: "y".into() });
        let many = of(Entry::Folder("/etc/neap/conf.d".into()));
        for (number, record) in [(7, &record()), (8, &text), (10, &many)] {
            generations.write(number, record).expect("written");
        }
        let again = Generations::open(&state).expect("a folder");
        assert_eq!(again.numbers().expect("read"), [7, 8, 10]);
        assert_eq!(again.read(7).expect("read"), Some(record()));
        assert_eq!(again.read(8).expect("read"), Some(text));
        assert_eq!(again.read(10).expect("read"), Some(many));
        again.keep(&[8, 10, 11]).expect("removed");
        assert_eq!(again.numbers().expect("read"), [8, 10]);
        let mode = |path| fs::metadata(path).expect("it is there").mode() & 0o7777;
        assert_eq!(mode(state.join("generations")), 0o700);
        assert_eq!(mode(state.join("generations/8.generation")), 0o600);
    }

    fn told() -> Record {
        let skipped = vec!["conf/a.yaml: cannot be read".to_owned()];
        let told = Told { skipped, refused: Some("neap.lua:2: no\nneap.lua:3: no".into()), outdated: true };
        Record { told, ..record() }
    }

    #[test]
    fn what_there_is_to_tell_of_a_generation_is_kept_with_it() {
        let folder = Folder::new();
        let generations = Generations::open(&folder.path("")).expect("a folder");
        generations.write(7, &record()).expect("written");
        generations.tell(7, &told().told).expect("told");
        assert_eq!(generations.read(7).expect("read"), Some(told()));
        let wrong: Vec<String> = told().told.degraded().collect();
        let refused =
            "the configuration is refused, and what was in force before goes on: neap.lua:2: no; neap.lua:3: no";
        assert_eq!(wrong, ["conf/a.yaml: cannot be read", refused]);
        generations.tell(7, &Told::default()).expect("told");
        assert_eq!(generations.read(7).expect("read"), Some(record()));
        generations.tell(8, &told().told).expect("there is nothing to tell of");
        assert_eq!(generations.numbers().expect("read"), [7]);
    }

    #[test]
    fn e4_any_bit_flipped_and_any_cut_of_a_generations_record_is_found() {
        let folder = Folder::new();
        let generations = Generations::open(&folder.path("")).expect("a folder");
        generations.write(7, &told()).expect("written");
        let path = folder.path("generations/7.generation");
        let bytes = fs::read(&path).expect("the file");
        let is_found = |changed: &[u8]| {
            fs::write(&path, changed).expect("written");
            let error = generations.read(7).expect_err("damaged");
            let StateError::Damaged { aside: Some(aside), .. } = &error else { panic!("{error}") };
            assert_eq!(fs::read(aside).expect("kept"), changed);
            fs::remove_file(aside).expect("removed");
        };
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            is_found(&flipped);
        }
        for cut in 0..bytes.len() {
            is_found(&bytes[..cut]);
        }
    }

    /// Written by version 1; every version reads it.
    const VERSION_1: &[u8] = include_bytes!("../data/generation-v1");

    #[test]
    fn a13_generations_of_every_version_are_read_or_refused_untouched() {
        let folder = Folder::new();
        let generations = Generations::open(&folder.path("")).expect("a folder");
        let path = folder.path("generations/7.generation");
        if std::env::var_os("NEAP_BLESS").is_some() {
            generations.write(7, &record()).expect("written");
            fs::copy(&path, "tests/data/generation-v1").expect("the fixture");
        }
        fs::write(&path, VERSION_1).expect("written");
        assert_eq!(generations.read(7).expect("read"), Some(record()));

        let mut newer = b"{\"version\":2,\"generation\":\"may be anything then\"}\nwhatever".to_vec();
        newer.extend_from_slice(&crc32fast::hash(&newer).to_le_bytes());
        fs::write(&path, &newer).expect("written");
        assert!(matches!(generations.read(7), Err(StateError::Newer { version: 2, .. })));
        assert_eq!(fs::read(&path).expect("the file"), newer);
    }
}
