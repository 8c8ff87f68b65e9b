//! Where an instance keeps its things, and where a client finds them.
//!
//! An instance has a folder in each place, named by its configuration's path: a runtime folder (control socket, journal of
//! runs, notify sockets), a state folder (lock, definitions, sources, logs), and its configuration.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The file that the user's own instance is configured by.
const CONFIG_FILE: &str = "neap.lua";
/// The files that a folder's instance may be configured by, one of them.
const CONFIG_FILES: [&str; 3] = [CONFIG_FILE, "neap.yaml", "neap.yml"];
/// The key of the user's and of the system's own instance.
const DEFAULT_KEY: &str = "default";
/// The system's configuration: a file, or a folder of them.
const SYSTEM_CONFIG: &str = "/etc/neap/neap.lua";
const SYSTEM_FOLDER: &str = "/etc/neap/conf.d";
const SYSTEM_RUNTIME: &str = "/run/neap";
const SYSTEM_STATE: &str = "/var/lib/neap";
/// What tells a supervisor its places: key, configuration, runtime and state folder, control socket. Processes get none of it.
const VARIABLES: [&str; 5] =
    ["NEAP_PLACES_KEY", "NEAP_PLACES_CONFIG", "NEAP_PLACES_RUNTIME", "NEAP_PLACES_STATE", "NEAP_PLACES_SOCKET"];

/// Which instance is meant, when it is named: `user`, `system`, or by its configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    /// The user's own.
    User,
    /// The system's own.
    System,
    /// The one of the configuration in this folder, or of this file.
    At(PathBuf),
}

impl FromStr for Which {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "user" => Which::User,
            "system" => Which::System,
            path => Which::At(path.into()),
        })
    }
}

/// What the places of a user depend on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bases {
    /// Whether this is root.
    pub(crate) root: bool,
    /// `$HOME`.
    pub(crate) home: Option<PathBuf>,
    /// `$XDG_RUNTIME_DIR`.
    pub(crate) runtime: Option<PathBuf>,
    /// `$XDG_STATE_HOME`.
    pub(crate) state: Option<PathBuf>,
    /// `$XDG_CONFIG_HOME`.
    pub(crate) config: Option<PathBuf>,
    /// `$XDG_CACHE_HOME`.
    pub(crate) cache: Option<PathBuf>,
}

impl Bases {
    /// As this process's user and environment have it. What is no absolute path does not count.
    pub(crate) fn of_this_process() -> Bases {
        Bases::from(nix::unistd::geteuid().is_root(), |name| std::env::var_os(name))
    }

    fn from(root: bool, variable: impl Fn(&str) -> Option<OsString>) -> Bases {
        let absolute = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
        Bases {
            root,
            home: absolute("HOME"),
            runtime: absolute("XDG_RUNTIME_DIR"),
            state: absolute("XDG_STATE_HOME"),
            config: absolute("XDG_CONFIG_HOME"),
            cache: absolute("XDG_CACHE_HOME"),
        }
    }

    /// Where the user's own configuration would be.
    pub(crate) fn users_config(&self) -> Option<PathBuf> {
        let home = || Some(self.home.as_ref()?.join(".config"));
        Some(self.config.clone().or_else(home)?.join("neap").join(CONFIG_FILE))
    }

    /// Whether the system's instance is this user's own: root's, unless told otherwise.
    fn own_system(&self) -> bool {
        self.root && self.config.is_none()
    }

    /// The configuration of a daemon that was given none, if there is one: the user's own, for root the system's.
    pub(crate) fn daemons_config(&self) -> Option<PathBuf> {
        let there = |path: PathBuf| path.exists().then_some(path);
        if self.own_system() {
            there(SYSTEM_CONFIG.into()).or_else(|| there(SYSTEM_FOLDER.into()))
        } else {
            self.users_config().and_then(there)
        }
    }

    /// Where everything of this user is kept that outlives a boot.
    pub(crate) fn state_base(&self) -> Result<PathBuf, PlaceError> {
        match (&self.state, &self.home) {
            (Some(dir), _) => Ok(dir.join("neap")),
            (None, _) if self.root => Ok(SYSTEM_STATE.into()),
            (None, Some(home)) => Ok(home.join(".local/state/neap")),
            (None, None) => Err(PlaceError::Homeless),
        }
    }

    /// Where the state, cache and logs directories of processes are, as systemd.exec(5) has them: the XDG variables', else
    /// root's are the system's and others' the user's own.
    pub(crate) fn directories(&self) -> DirectoryPlaces {
        let place = |given: Option<PathBuf>, system: &str, own: &str| match (given, &self.home) {
            (Some(dir), _) => Some(dir),
            (None, _) if self.root => Some(system.into()),
            (None, home) => home.as_ref().map(|home| home.join(own)),
        };
        DirectoryPlaces {
            state: place(self.state.clone(), "/var/lib", ".local/state"),
            cache: place(self.cache.clone(), "/var/cache", ".cache"),
            logs: place(self.state.as_ref().map(|dir| dir.join("log")), "/var/log", ".local/state/log"),
        }
    }

    fn runtime_base(&self) -> Option<PathBuf> {
        match &self.runtime {
            Some(dir) => Some(dir.join("neap")),
            None => self.root.then(|| SYSTEM_RUNTIME.into()),
        }
    }
}

/// Where directories of processes are; none where this user has no place for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DirectoryPlaces {
    /// State directories.
    pub(crate) state: Option<PathBuf>,
    /// Cache directories.
    pub(crate) cache: Option<PathBuf>,
    /// Logs directories.
    pub(crate) logs: Option<PathBuf>,
}

/// There is no place, or none that is safe.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlaceError {
    /// Neither a home nor an XDG variable.
    #[error("this user has no place for an instance: neither HOME nor XDG_STATE_HOME is set; set one of them")]
    Homeless,
    /// The kernel refuses it.
    #[error("cannot make the folder `{}`: {source}", path.display())]
    Make {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Somebody else could change what is in it.
    #[error("the folder `{}` is not safe to use: {why}", path.display())]
    Unsafe {
        /// Which.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// The control socket is to be where it cannot be.
    #[error("the control socket cannot be at `{}`: --socket takes its path; for TCP beside it, see `neap daemon --listen`", .0.display())]
    NoPath(PathBuf),
    /// A folder has two configurations of its own.
    #[error(
        "both `{}` and `{}` are there, and a folder has one configuration of its own: name the one that is meant, as \
         CONFIG or with --instance",
        one.display(),
        other.display()
    )]
    Two {
        /// One of them.
        one: PathBuf,
        /// Another.
        other: PathBuf,
    },
    /// A file that this is about has no folder.
    #[error("cannot find the folder of `{}`: {source}", path.display())]
    Find {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Where one instance's things are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Places {
    /// What it is called among the user's instances: a hash of the configuration's path, or `default`.
    pub(crate) key: String,
    /// Its configuration, if it has one: as an absolute path, or as it was named.
    pub(crate) config: Option<PathBuf>,
    /// What does not outlive a boot.
    pub(crate) runtime: PathBuf,
    /// What does.
    pub(crate) state: PathBuf,
    /// The control socket.
    pub(crate) socket: PathBuf,
}

impl Places {
    /// Those of the instance of this configuration: a file, or a folder of them. It need not be there any more.
    pub(crate) fn of_config(config: &Path, bases: &Bases) -> Result<Places, PlaceError> {
        let config = canonical(config)?;
        let is = |path: &Path| canonical(path).is_ok_and(|path| path == config);
        let users = bases.users_config().filter(|_| !bases.own_system());
        let systems = bases.own_system() && (is(SYSTEM_CONFIG.as_ref()) || is(SYSTEM_FOLDER.as_ref()));
        let key = if systems || users.is_some_and(|path| is(&path)) {
            DEFAULT_KEY.to_owned()
        } else {
            format!("{:016x}", hash(config.as_os_str().as_bytes()))
        };
        Places::keyed(key, Some(config), bases)
    }

    /// Those of the user's own instance.
    pub(crate) fn of_user(bases: &Bases) -> Result<Places, PlaceError> {
        match bases.users_config().filter(|path| !bases.own_system() || path.exists()) {
            Some(config) => Places::of_config(&config, bases),
            None => Places::keyed(DEFAULT_KEY.to_owned(), None, bases),
        }
    }

    /// Those of the system's own instance.
    pub(crate) fn of_system() -> Places {
        let config = [SYSTEM_CONFIG, SYSTEM_FOLDER].into_iter().map(PathBuf::from).find(|path| path.exists());
        let runtime = Path::new(SYSTEM_RUNTIME).join(DEFAULT_KEY);
        let socket = runtime.join("neap.sock");
        let state = Path::new(SYSTEM_STATE).join(DEFAULT_KEY);
        Places { key: DEFAULT_KEY.into(), config, runtime, state, socket }
    }

    /// Those of a daemon that was given no configuration and found none: it keeps what is made at run time.
    pub(crate) fn of_daemon(bases: &Bases) -> Result<Places, PlaceError> {
        Places::keyed(DEFAULT_KEY.to_owned(), bases.daemons_config(), bases)
    }

    /// Those of the instance that was named.
    pub(crate) fn of(which: &Which, bases: &Bases) -> Result<Places, PlaceError> {
        match which {
            Which::User => Places::of_user(bases),
            Which::System => Ok(Places::of_system()),
            Which::At(path) => Places::of_config(config_in(path)?.as_ref().unwrap_or(path), bases),
        }
    }

    /// As variables, for those who are to have the very same, whatever becomes of links and files.
    pub(crate) fn as_variables(&self) -> [(&'static str, OsString); 5] {
        let config = self.config.clone().unwrap_or_default();
        let paths = [config, self.runtime.clone(), self.state.clone(), self.socket.clone()].map(OsString::from);
        let [config, runtime, state, socket] = paths;
        let [of_key, of_config, of_runtime, of_state, of_socket] = VARIABLES;
        [
            (of_key, self.key.clone().into()),
            (of_config, config),
            (of_runtime, runtime),
            (of_state, state),
            (of_socket, socket),
        ]
    }

    /// Those that these variables tell; `None` if they do not tell all.
    pub(crate) fn from_variables(variable: impl Fn(&str) -> Option<OsString>) -> Option<Places> {
        let [key, config, runtime, state, socket] = VARIABLES.map(variable);
        Some(Places {
            key: key?.into_string().ok()?,
            config: Some(PathBuf::from(config?)).filter(|path| !path.as_os_str().is_empty()),
            runtime: runtime?.into(),
            state: state?.into(),
            socket: socket?.into(),
        })
    }

    /// The same, with the control socket elsewhere.
    pub(crate) fn with_socket(mut self, socket: Option<&Path>) -> Places {
        if let Some(socket) = socket {
            self.socket = socket.to_owned();
        }
        self
    }

    fn keyed(key: String, config: Option<PathBuf>, bases: &Bases) -> Result<Places, PlaceError> {
        let state = bases.state_base()?.join(&key);
        let runtime = bases.runtime_base().map_or_else(|| state.join("run"), |base| base.join(&key));
        let socket = runtime.join("neap.sock");
        Ok(Places { key, config, runtime, state, socket })
    }

    /// Where what the supervisor knows is written down for its successor.
    pub(crate) fn ledger(&self) -> PathBuf {
        self.runtime.join("ledger")
    }

    /// A name that no other instance on this machine has, whoever's it is.
    pub(crate) fn name(&self) -> String {
        format!("{}-{:08x}", self.key, hash(self.state.as_os_str().as_bytes()) & 0xffff_ffff)
    }

    /// Where the files with what processes print are.
    pub(crate) fn logs(&self) -> PathBuf {
        self.state.join("log")
    }

    /// Makes the folders that are not there, and looks at those that are. Returns the one where notify sockets and
    /// runtime directories are made, which the users of the processes can reach.
    pub(crate) fn make(&self) -> Result<PathBuf, PlaceError> {
        let root = nix::unistd::geteuid().is_root();
        let passable = if root { 0o711 } else { 0o700 };
        make_below(&self.state, 0o700, 0o700)?;
        make_below(&self.runtime, passable, passable)?;
        let below = if root && !self.runtime.ancestors().all(others_may_pass) {
            // Root's runtime folder may be one that nobody else can pass.
            Path::new(SYSTEM_RUNTIME).join(format!("for-{:016x}", hash(self.runtime.as_os_str().as_bytes())))
        } else {
            self.runtime.join("processes")
        };
        make_below(&below, passable, 0o711)?;
        Ok(below)
    }
}

/// Where a client looks for its instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Candidates {
    /// The control sockets, in the order they are tried.
    pub(crate) sockets: Vec<PathBuf>,
    /// Which instance that is, for the message that it cannot be reached.
    pub(crate) what: String,
    /// What is to be done then.
    pub(crate) how: &'static str,
}

/// What is to be done where an instance cannot be reached.
const HOW: &str = "start it with `neap up` or `neap daemon`, or name another with --instance or --socket";

/// What a client was told about which instance it is to talk to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    /// `--socket` or `NEAP_SOCKET`.
    pub(crate) socket: Option<PathBuf>,
    /// `--instance`.
    pub(crate) instance: Option<Which>,
}

impl Wanted {
    /// The sockets to try: the one that was given; that of the instance that was named; else that of the nearest
    /// `neap.lua` or `neap.yaml` upwards from this folder, and no other; else the user's, then the system's.
    pub(crate) fn candidates(&self, here: &Path, bases: &Bases) -> Result<Candidates, PlaceError> {
        let one = |socket: PathBuf, what: String| Candidates { sockets: vec![socket], what, how: HOW };
        if let Some(socket) = &self.socket {
            return Ok(one(socket.clone(), format!("the instance at {}", socket.display())));
        }
        if let Some(which) = &self.instance {
            let what = match which {
                Which::User => "the user's instance".to_owned(),
                Which::System => "the system's instance".to_owned(),
                Which::At(path) => format!("the instance of {}", path.display()),
            };
            return Ok(one(Places::of(which, bases)?.socket, what));
        }
        if let Some(config) = nearest_config(here)? {
            let what = format!("the instance of {}", config.display());
            return Ok(one(Places::of_config(&config, bases)?.socket, what));
        }
        // A user without a place of its own may still ask the system's.
        let mut sockets: Vec<PathBuf> = Places::of_user(bases).ok().map(|places| places.socket).into_iter().collect();
        let system = Places::of_system().socket;
        if !sockets.contains(&system) {
            sockets.push(system);
        }
        Ok(Candidates { sockets, what: "the user's or the system's instance".to_owned(), how: HOW })
    }
}

/// The configuration of its own that a folder has: its `neap.lua`, `neap.yaml` or `neap.yml`.
///
/// # Errors
/// It has two, and nothing says which is meant.
pub(crate) fn config_in(folder: &Path) -> Result<Option<PathBuf>, PlaceError> {
    let mut there = CONFIG_FILES.into_iter().map(|name| folder.join(name)).filter(|file| file.is_file());
    match (there.next(), there.next()) {
        (Some(one), Some(other)) => Err(PlaceError::Two { one, other }),
        (one, _) => Ok(one),
    }
}

/// The nearest one, of this folder or of one above it.
fn nearest_config(here: &Path) -> Result<Option<PathBuf>, PlaceError> {
    here.ancestors().map(config_in).find_map(Result::transpose).transpose()
}

/// The path without links, also of a file that is gone.
fn canonical(path: &Path) -> Result<PathBuf, PlaceError> {
    let find = |source| PlaceError::Find { path: path.to_owned(), source };
    if let Ok(path) = path.canonicalize() {
        return Ok(path);
    }
    let absolute = std::path::absolute(path).map_err(find)?;
    match (absolute.parent().map(Path::canonicalize), absolute.file_name()) {
        (Some(Ok(parent)), Some(name)) => Ok(parent.join(name)),
        _ => Ok(absolute),
    }
}

/// FNV-1a: the same on every machine and in every version, which is all that is asked of it.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

fn others_may_pass(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.mode() & 0o001 != 0)
}

/// Makes an instance's folder and the one of all instances above it, and refuses those that others could tamper with.
fn make_below(path: &Path, above_mode: u32, mode: u32) -> Result<(), PlaceError> {
    let Some(above) = path.parent() else {
        return Err(PlaceError::Unsafe { path: path.to_owned(), why: "it is the root of all files".into() });
    };
    if let Some(base) = above.parent() {
        let making = DirBuilder::new().recursive(true).mode(0o700).create(base);
        making.map_err(|source| PlaceError::Make { path: base.to_owned(), source })?;
    }
    make_one(above, above_mode)?;
    make_one(path, mode)
}

fn make_one(path: &Path, mode: u32) -> Result<(), PlaceError> {
    let make = |source| PlaceError::Make { path: path.to_owned(), source };
    match DirBuilder::new().mode(mode).create(path) {
        // The umask may have taken something away.
        Ok(()) => fs::set_permissions(path, Permissions::from_mode(mode)).map_err(make)?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(make(error)),
    }
    let found = fs::symlink_metadata(path).map_err(make)?;
    let us = nix::unistd::geteuid().as_raw();
    let why = if !found.is_dir() {
        "it is no folder; remove it".to_owned()
    } else if found.uid() != us {
        format!("it belongs to user {}, not to {us}", found.uid())
    } else if found.mode() & 0o022 != 0 {
        format!("others may write to it (mode {:o}); `chmod go-w` it", found.mode() & 0o7777)
    } else {
        return Ok(());
    };
    Err(PlaceError::Unsafe { path: path.to_owned(), why })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::{Path, PathBuf};

    use super::{Bases, PlaceError, Places, Wanted, Which};

    fn folder(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("neap-places-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        dir.canonicalize().unwrap()
    }

    fn user(dir: &Path) -> Bases {
        let at = |name| Some(dir.join(name));
        Bases {
            root: false,
            home: at("home"),
            runtime: at("rt"),
            state: at("state"),
            config: at("config"),
            cache: at("cache"),
        }
    }

    #[test]
    fn a_configurations_path_is_its_key_however_it_is_written() {
        let dir = folder("key");
        fs::create_dir(dir.join("sub")).unwrap();
        fs::write(dir.join("neap.lua"), "").unwrap();
        std::os::unix::fs::symlink(dir.join("neap.lua"), dir.join("link.lua")).unwrap();
        let of = |path: &str| Places::of_config(&dir.join(path), &user(&dir)).unwrap();
        let straight = of("neap.lua");
        assert_eq!(straight.key.len(), 16);
        assert_eq!(of("sub/../neap.lua"), straight);
        assert_eq!(of("link.lua"), straight);
        assert_eq!(Places::of(&Which::At(dir.clone()), &user(&dir)).unwrap(), straight);
        assert_ne!(of("other.lua").key, straight.key);
        fs::remove_file(dir.join("neap.lua")).unwrap();
        assert_eq!(of("neap.lua"), straight, "also when the file is gone");
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn the_users_own_is_called_default_and_the_systems_is_for_root() {
        let bases = user(Path::new("/no/such"));
        let users = Places::of_user(&bases).unwrap();
        assert_eq!(users.key, "default");
        assert_eq!(users.socket, Path::new("/no/such/rt/neap/default/neap.sock"));
        assert_eq!(users.state, Path::new("/no/such/state/neap/default"));
        let root = Bases { root: true, home: Some("/root".into()), ..Bases::default() };
        let systems = Places::of_config(Path::new("/etc/neap/neap.lua"), &root).unwrap();
        assert_eq!((&*systems.key, systems.runtime.to_str()), ("default", Some("/run/neap/default")));
        assert_eq!(systems.state, Path::new("/var/lib/neap/default"));
        assert_eq!(Places::of_system().socket, systems.socket);
    }

    #[test]
    fn without_a_runtime_folder_it_lies_below_the_state() {
        let bases = Bases { home: Some("/home/ann".into()), ..Bases::default() };
        let places = Places::of_user(&bases).unwrap();
        assert_eq!(places.runtime, Path::new("/home/ann/.local/state/neap/default/run"));
        let homeless = Places::of_user(&Bases::default()).unwrap_err();
        assert!(matches!(homeless, PlaceError::Homeless), "{homeless}");
    }

    #[test]
    fn places_that_are_handed_on_are_the_very_same() {
        let bases = Bases { home: Some("/home/ann".into()), ..Bases::default() };
        let places = Places::of_config(Path::new("/no/such/folder"), &bases).unwrap().with_socket(Some("s".as_ref()));
        for places in [Places { config: None, ..places.clone() }, places] {
            let told = places.as_variables();
            let find = |name: &str| Some(told.iter().find(|(of, _)| *of == name)?.1.clone());
            assert_eq!(Places::from_variables(find), Some(places));
        }
        assert_eq!(Places::from_variables(|_| None), None);
    }

    #[test]
    fn a_client_takes_the_nearest_configuration_and_no_other() {
        let dir = folder("client");
        let bases = user(&dir);
        fs::create_dir_all(dir.join("project/deep/er")).unwrap();
        let none = Wanted::default().candidates(&dir.join("project"), &bases).unwrap();
        let own = dir.join("rt/neap/default/neap.sock");
        assert_eq!(none.sockets, [own, PathBuf::from("/run/neap/default/neap.sock")]);
        fs::write(dir.join("project/neap.lua"), "").unwrap();
        let nearest = Wanted::default().candidates(&dir.join("project/deep/er"), &bases).unwrap();
        let projects = Places::of_config(&dir.join("project/neap.lua"), &bases).unwrap();
        assert_eq!(nearest.sockets, [projects.socket]);
        let given = Wanted { socket: Some("/s".into()), instance: Some(Which::System) };
        assert_eq!(given.candidates(&dir, &bases).unwrap().sockets, [PathBuf::from("/s")]);
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_client_finds_yaml_as_it_finds_lua_and_is_told_of_two() {
        let dir = folder("client-yaml");
        let bases = user(&dir);
        fs::create_dir_all(dir.join("project/deep")).unwrap();
        fs::write(dir.join("neap.lua"), "").unwrap();
        for name in ["neap.yaml", "neap.yml"] {
            let file = dir.join("project").join(name);
            fs::write(&file, "").unwrap();
            let socket = Places::of_config(&file, &bases).unwrap().socket;
            assert_eq!(Wanted::default().candidates(&dir.join("project/deep"), &bases).unwrap().sockets, [&*socket]);
            assert_eq!(Places::of(&Which::At(dir.join("project")), &bases).unwrap().socket, socket);
            fs::remove_file(&file).unwrap();
        }
        fs::write(dir.join("neap.yml"), "").unwrap();
        let two = Wanted::default().candidates(&dir.join("project/deep"), &bases).map(drop).unwrap_err().to_string();
        assert!(two.contains("/neap.lua` and `") && two.contains("/neap.yml` are there"), "{two}");
        let named = Wanted { instance: Some(Which::At(dir.join("neap.yml"))), ..Wanted::default() };
        assert!(named.candidates(&dir, &bases).is_ok(), "a file that is named is meant");
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn folders_are_private_and_those_that_others_could_change_are_refused() {
        let dir = folder("make");
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(dir.join("rt")).unwrap();
        fs::set_permissions(dir.join("rt"), fs::Permissions::from_mode(0o755)).unwrap();
        let places = Places::of_user(&user(&dir)).unwrap();
        let processes = places.make().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&places.state), 0o700);
        assert_eq!(mode(&processes), 0o711);
        assert_eq!(places.make().unwrap(), processes, "again, as it is there");
        fs::set_permissions(&places.runtime, fs::Permissions::from_mode(0o770)).unwrap();
        let refused = places.make().unwrap_err().to_string();
        assert!(refused.contains("others may write to it (mode 770)"), "{refused}");
        fs::remove_dir_all(&places.runtime).unwrap();
        std::os::unix::fs::symlink(&dir, &places.runtime).unwrap();
        let refused = places.make().unwrap_err().to_string();
        assert!(refused.contains("it is no folder"), "{refused}");
        fs::remove_dir_all(dir).unwrap();
    }
}
