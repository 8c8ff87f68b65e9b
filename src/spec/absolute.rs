//! Paths that do not depend on where a supervisor takes relative ones from.

use std::path::Path;

use super::process::{Spec, Stream};

/// Makes the paths of a spec absolute, those that are not being below `root`.
#[cfg(feature = "yaml")]
pub(crate) fn make_absolute(spec: &mut Spec, root: &Path) {
    let at = |path: &str| root.join(path).to_string_lossy().into_owned();
    spec.working_dir = Some(spec.working_dir.as_deref().map_or_else(|| at(""), at));
    spec.pidfile = spec.pidfile.as_deref().map(at);
    spec.log.file = spec.log.file.as_deref().map(at);
    spec.env_file.iter_mut().for_each(|file| file.path = at(&file.path));
    let conditions = &mut spec.conditions;
    for path in [&mut conditions.path_exists, &mut conditions.path_executable, &mut conditions.file_not_empty]
        .into_iter()
        .flatten()
    {
        let bare = path.trim_start_matches(['!', '|']);
        *path = format!("{}{}", &path[..path.len() - bare.len()], at(bare));
    }
    for listener in &mut spec.listen {
        listener.address = listener.address.with_path(at);
    }
    for stream in [&mut spec.log.stdout, &mut spec.log.stderr] {
        if let Stream::File(path) = stream {
            *path = at(path);
        }
    }
}
