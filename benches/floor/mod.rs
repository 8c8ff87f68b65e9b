//! The floor, compiled once for a benchmark, and the arithmetic of medians.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Compiles this file of this folder (static, so that the dynamic linker is no part of what is measured).
pub fn build(file: &str) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/floor").join(file);
    let target = std::env::temp_dir().join(format!("neap-{file}-{}", std::process::id()));
    let status = Command::new("cc").args(["-O2", "-static", "-o"]).arg(&target).arg(&source).status();
    assert!(status.is_ok_and(|status| status.success()), "cc compiles {}", source.display());
    target
}

/// The middle one.
pub fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(0)
}
