fn main() -> std::process::ExitCode {
    lumiface::cli::main()
}
