fn main() -> std::process::ExitCode {
    chassis::run::<shop_email::Email>()
}
