fn main() -> std::process::ExitCode {
    chassis::run::<shop_reviews::Reviews>()
}
