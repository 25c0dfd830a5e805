fn main() -> std::process::ExitCode {
    chassis::run_stateless::<shop_storefront::Storefront>()
}
