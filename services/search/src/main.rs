fn main() -> std::process::ExitCode {
    chassis::run::<shop_search::Search>()
}
