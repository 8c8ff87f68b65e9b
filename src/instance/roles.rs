//! Which groups may do what with an instance: from names in a configuration to numbers.

use crate::driver::creds::group_number;
use crate::lua::api::Settings;
use crate::rpc::{Grant, Role};
use crate::spec::{Problem, Severity};

/// The groups that these settings give roles, looked up. May block for as long as the user database does.
///
/// # Errors
/// What is not known, each with its place; the rest is in the first of the pair.
pub(crate) fn grants(settings: &Settings) -> (Vec<Grant>, Vec<Problem>) {
    let (mut grants, mut problems) = (Vec::new(), Vec::new());
    for given in &settings.roles {
        let role = match given.role.as_str() {
            "admin" => Role::Admin,
            "operator" => Role::Operator,
            _ => Role::Observer,
        };
        match group_number(&given.group) {
            Ok(gid) => grants.push(Grant { group: given.group.clone(), gid, role }),
            Err(message) => problems.push(Problem {
                severity: Severity::Error,
                file: given.file.clone(),
                line: given.line,
                process: None,
                field: Some("neap.settings: roles".into()),
                message,
            }),
        }
    }
    (grants, problems)
}
