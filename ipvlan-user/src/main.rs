//! The `ipvlan` command.

use std::process::ExitCode;

use clap::Parser as _;
use ipvlan_user::{
    cli::{Cli, Command, ConfigCommand},
    commands, exit,
    runtime::log,
};

fn main() -> ExitCode {
    let cli = Cli::parse();
    log::init();
    let result = match cli.command {
        Command::Run(args) => commands::run::run(*args),
        Command::Cleanup(args) => commands::cleanup::cleanup(args),
        Command::Status(args) => match commands::status::status(args) {
            Ok(true) => Ok(()),
            Ok(false) => return ExitCode::from(exit::NOT_RUNNING),
            Err(error) => Err(error),
        },
        Command::Config { command } => match command {
            ConfigCommand::Check(args) => commands::config::check(*args),
            ConfigCommand::Show { args, json } => commands::config::show(*args, json),
        },
        Command::Completions { shell } => commands::generate::completions(shell),
        Command::Man { directory } => commands::generate::man(directory),
        Command::Doctor(args) => match commands::doctor::doctor(args) {
            Ok(true) => Ok(()),
            Ok(false) => return ExitCode::FAILURE,
            Err(error) => Err(error),
        },
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
