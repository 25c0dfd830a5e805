//! Compiles the gRPC contract of payments. The server is for the tests, which play payments.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (folder, file) = ("../../contracts/grpc", "payments.proto");
    println!("cargo::rerun-if-changed={folder}/{file}");
    let set = protox::compile([file], [folder])?;
    tonic_prost_build::configure().compile_fds(set)?;
    Ok(())
}
