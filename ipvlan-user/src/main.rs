//! The `ipvlan` command.

use std::{io::IsTerminal as _, process::ExitCode};

use clap::Parser as _;
use ipvlan_user::{
    cli::{Cli, Command},
    commands, report,
    runtime::stderr::Stderr,
};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = EnvFilter::builder()
        .with_env_var("IPVLAN_LOG")
        .with_default_directive(tracing::level_filters::LevelFilter::INFO.into())
        .from_env_lossy();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(Stderr::new)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
    let result = match cli.command {
        Command::Run(args) => commands::run::run(args),
        Command::Cleanup(args) => commands::cleanup::cleanup(&args),
        Command::Status(args) => commands::status::status(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report::report(&error),
    }
}
