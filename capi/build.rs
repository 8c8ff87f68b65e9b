//! Gives the shared library its name for the loader: programs find it by the number of its ABI.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libneap.so.1");
}
