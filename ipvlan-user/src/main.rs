//! The `ipvlan` command.

use std::process::ExitCode;

use clap::Parser as _;
use ipvlan_user::{
    cli::{Cli, Command},
    commands, report,
    runtime::log,
};

fn main() -> ExitCode {
    let cli = Cli::parse();
    log::init();
    let result = match cli.command {
        Command::Run(args) => commands::run::run(args),
        Command::Cleanup(args) => commands::cleanup::cleanup(args),
        Command::Status(args) => commands::status::status(args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report::report(&error),
    }
}
