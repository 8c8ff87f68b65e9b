//! The header that is committed is the one that the sources make.

use std::path::Path;

#[test]
fn the_header_is_what_cbindgen_makes_of_the_sources() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(here.join("cbindgen.toml")).unwrap();
    let builder = cbindgen::Builder::new().with_config(config).with_src(here.join("src/ffi.rs"));
    let mut made = Vec::new();
    builder.generate().unwrap().write(&mut made);
    let made = String::from_utf8(made).unwrap();
    let header = here.join("include/neap.h");
    if std::env::var_os("NEAP_WRITE_DOCS").is_some() {
        std::fs::write(&header, &made).unwrap();
    }
    let committed = std::fs::read_to_string(&header).unwrap_or_default();
    assert_eq!(committed, made, "capi/include/neap.h is old: NEAP_WRITE_DOCS=1 cargo test -p neap-capi --test header");
}
