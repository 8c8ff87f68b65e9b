//! What is made at run time is kept: a file for each definition, so that it is there again after the end of the instance
//! or of the boot.
//!
//! Nobody tells the keeper what to write. It looks at what there is and brings the files in line with it: whenever a
//! definition came, changed or went, before a client is told so, and when a supervisor takes over. So there is one way
//! for all of these, and none that can be forgotten.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::Supervisor;
use crate::ledger::{Definitions, StateError};
use crate::spec::Spec;

/// The files of an instance's definitions.
pub(super) struct Keeper {
    definitions: Definitions,
    /// What is written down of what there is. Files of other names are left alone: they could not be brought back, and
    /// somebody may want to.
    written: BTreeMap<String, Arc<Spec>>,
    /// What is not as it should be, by the name that it is about.
    lacking: BTreeMap<String, String>,
}

impl Keeper {
    pub(super) fn new(definitions: Definitions) -> Keeper {
        Keeper { definitions, written: BTreeMap::new(), lacking: BTreeMap::new() }
    }

    /// What makes it less than it should be.
    pub(super) fn lacking(&self) -> impl Iterator<Item = &String> {
        self.lacking.values()
    }

    /// Brings the files in line with what was made at run time.
    pub(super) fn settle(&mut self, made: &[Arc<Spec>]) {
        let kept: BTreeMap<&str, &Arc<Spec>> =
            made.iter().filter(|spec| is_kept(spec)).map(|spec| (spec.name.as_str(), spec)).collect();
        let gone: Vec<String> = self.written.keys().filter(|name| !kept.contains_key(name.as_str())).cloned().collect();
        for name in gone {
            match self.definitions.remove(&name) {
                Ok(()) => {
                    self.written.remove(&name);
                    self.lacking.remove(&name);
                }
                Err(error) => {
                    self.lacking.insert(name.clone(), format!("`{name}` was deleted, and will come back: {error}"));
                }
            }
        }
        for (name, spec) in kept {
            let known = self.written.get(name);
            if known.is_some_and(|known| Arc::ptr_eq(known, spec) || **known == **spec) {
                continue;
            }
            match self.definitions.write(spec) {
                Ok(()) => {
                    self.written.insert(name.to_owned(), spec.clone());
                    self.lacking.remove(name);
                }
                Err(error) => {
                    let text = format!("`{name}` as it is now will not outlive the instance: {error}");
                    self.lacking.insert(name.to_owned(), text);
                }
            }
        }
    }

    /// Goes on where another supervisor stopped, with what was made at run time and is there. What is written down beside
    /// that could not be brought back by the one before.
    pub(super) fn go_on(&mut self, made: &[Arc<Spec>]) {
        for spec in self.read() {
            if made.iter().any(|one| one.name == spec.name) {
                self.written.insert(spec.name.clone(), Arc::new(spec));
            } else {
                let (name, file) = (&spec.name, self.definitions.file(&spec.name));
                let text = format!(
                    "`{name}` was made at run time and is not there; {} is kept, and the next start tries it again",
                    file.display()
                );
                self.lacking.insert(spec.name, text);
            }
        }
        self.settle(made);
    }

    /// Makes anew what was made at run time before, and starts what starts by itself.
    pub(super) fn bring_back(&mut self, supervisor: &Supervisor) {
        let supervisor = supervisor.on_behalf_of("the start of the instance");
        let mut left = self.read();
        let mut back = Vec::new();
        left.retain(|spec| {
            let taken = supervisor.get(&spec.name).is_some();
            if taken {
                let name = &spec.name;
                let text = format!(
                    "`{name}` was made at run time and is in the configuration now, which is in force; {} is not used",
                    self.definitions.file(name).display()
                );
                self.lacking.insert(name.clone(), text);
            }
            !taken
        });
        // One may need another, which may come after it.
        loop {
            let before = left.len();
            left.retain(|spec| match supervisor.add(spec.clone()) {
                Ok(process) => {
                    self.lacking.remove(&spec.name);
                    self.written.insert(spec.name.clone(), Arc::new(spec.clone()));
                    back.push((process, spec.auto_start));
                    false
                }
                Err(error) => {
                    let file = self.definitions.file(&spec.name);
                    let text = format!("{error}; it was made at run time, and {} is kept", file.display());
                    self.lacking.insert(spec.name.clone(), text);
                    true
                }
            });
            if left.is_empty() || left.len() == before {
                break;
            }
        }
        for (process, _) in back.iter().filter(|(_, auto_start)| *auto_start) {
            // How it goes is told by events.
            drop(process.start());
        }
    }

    /// All that is written down and can be read.
    fn read(&mut self) -> Vec<Spec> {
        match self.definitions.read() {
            Ok((specs, problems)) => {
                self.unreadable(problems);
                specs
            }
            Err(problem) => {
                self.unreadable(vec![problem]);
                Vec::new()
            }
        }
    }

    fn unreadable(&mut self, problems: Vec<StateError>) {
        for problem in problems {
            let text = format!("a process made at run time cannot be brought back: {problem}");
            // No process has such a name.
            self.lacking.insert(format!("/{problem}"), text);
        }
    }
}

/// Functions live in the memory of one supervisor, and what needs them is volatile whatever it says.
fn is_kept(spec: &Spec) -> bool {
    !spec.volatile && spec.functions().next().is_none()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;

    use super::Keeper;
    use crate::ledger::Definitions;
    use crate::spec::{FunctionId, Hook, Spec};

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let path = std::env::temp_dir().join(format!("neap-keeper-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Folder(path)
        }

        fn keeper(&self) -> Keeper {
            Keeper::new(Definitions::open(&self.0).unwrap())
        }

        fn names(&self) -> Vec<String> {
            let (specs, _) = Definitions::open(&self.0).unwrap().read().unwrap();
            specs.into_iter().map(|spec| spec.name).collect()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn spec(name: &str) -> Arc<Spec> {
        Arc::new(Spec::new(name, ["true"]))
    }

    #[test]
    fn what_is_volatile_or_has_functions_is_not_kept_and_what_becomes_so_is_forgotten() {
        let folder = Folder::new("volatile");
        let mut keeper = folder.keeper();
        let with_function = Spec::new("fn", ["true"]).before_start(Hook::function(FunctionId(1)));
        let short = Spec::new("short", ["true"]).volatile(true);
        keeper.settle(&[spec("a"), spec("b"), Arc::new(with_function), Arc::new(short)]);
        assert_eq!(folder.names(), ["a", "b"]);
        let b = Spec::clone(&spec("b")).volatile(true);
        keeper.settle(&[spec("a"), Arc::new(b)]);
        assert_eq!(folder.names(), ["a"]);
        keeper.settle(&[]);
        assert!(folder.names().is_empty() && keeper.lacking().next().is_none());
    }

    #[test]
    fn what_cannot_be_written_is_named_until_it_is() {
        let folder = Folder::new("unwritable");
        let mut keeper = folder.keeper();
        let definitions = folder.0.join("definitions");
        std::fs::remove_dir(&definitions).unwrap();
        std::fs::write(&definitions, "in the way").unwrap();
        keeper.settle(&[spec("a")]);
        let lacking: Vec<&String> = keeper.lacking().collect();
        assert!(lacking.len() == 1 && lacking[0].starts_with("`a` as it is now will not outlive"), "{lacking:?}");
        std::fs::remove_file(&definitions).unwrap();
        std::fs::create_dir(&definitions).unwrap();
        keeper.settle(&[spec("a")]);
        assert!(folder.names() == ["a"] && keeper.lacking().next().is_none());
    }

    #[test]
    fn what_could_not_be_brought_back_is_left_alone_and_named() {
        let folder = Folder::new("left");
        folder.keeper().settle(&[spec("here"), spec("not")]);
        let mut keeper = folder.keeper();
        keeper.go_on(&[spec("here")]);
        let lacking: Vec<&String> = keeper.lacking().collect();
        assert!(lacking.len() == 1 && lacking[0].starts_with("`not` was made at run time and is not there"));
        keeper.settle(&[]);
        assert_eq!(folder.names(), ["not"]);
    }
}
