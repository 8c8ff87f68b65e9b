//! Makes Rust of the protos, without protoc: a compiler written in Rust reads them.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    #[cfg(feature = "grpc")]
    {
        let protos = ["process_manager.proto", "neap/v1/neap.proto"];
        println!("cargo::rerun-if-changed=proto");
        let described = protox::compile(protos, ["proto"])?;
        let out = std::path::PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo gives no OUT_DIR")?);
        std::fs::write(out.join("descriptors.bin"), prost::Message::encode_to_vec(&described))?;
        // Messages know their names: JSON is made by the descriptors.
        let mut config = tonic_prost_build::Config::new();
        config.enable_type_names();
        tonic_prost_build::configure().compile_fds_with_config(described, config)?;
    }
    Ok(())
}
