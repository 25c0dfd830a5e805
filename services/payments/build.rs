//! Compiles the gRPC contract.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (folder, file) = ("../../contracts/grpc", "payments.proto");
    println!("cargo::rerun-if-changed={folder}/{file}");
    let mut compiler = protox::Compiler::new([folder])?;
    compiler.include_source_info(true).include_imports(true);
    let set = compiler.open_file(file)?.encode_file_descriptor_set();
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("payments.bin"), set)?;
    tonic_prost_build::configure().compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
