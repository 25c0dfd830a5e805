fn main() -> std::process::ExitCode {
    chassis::run::<shop_orders::Orders>()
}
