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
        tonic_prost_build::configure().compile_fds(described)?;
    }
    Ok(())
}
