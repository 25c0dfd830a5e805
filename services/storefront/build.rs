//! Packs the files of `assets/` into the program.

fn main() {
    memory_serve::load_directory("./assets");
}
