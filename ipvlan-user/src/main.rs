//! The `ipvlan` command.

use std::process::ExitCode;

use clap::Parser as _;
use ipvlan_user::{
    cli::{Cli, Command, ConfigCommand},
    commands::{self, Outcome},
    exit::Failure,
    runtime::log,
};

fn main() -> ExitCode {
    let cli = Cli::parse();
    log::init();
    let result = match cli.command {
        Command::Run(args) => commands::run::run(*args),
        Command::Cleanup(args) => commands::cleanup::cleanup(args),
        Command::Status(args) => return ended(commands::status::status(args)),
        Command::Children(args) => return ended(commands::children::children(*args)),
        Command::Counters(args) => return ended(commands::counters::counters(args)),
        Command::Top(args) => return ended(commands::top::top(args)),
        Command::Reload(args) => return ended(commands::reload::reload(args)),
        Command::Explain(args) => return ended(commands::explain::explain(args)),
        Command::Monitor(args) => return ended(commands::monitor::monitor(args)),
        Command::Capture(args) => return ended(commands::capture::capture(args)),
        Command::Config { command } => match command {
            ConfigCommand::Check(args) => commands::config::check(*args),
            ConfigCommand::Show { args, output } => commands::config::show(*args, output),
        },
        Command::Completions { shell } => commands::generate::completions(shell),
        Command::Man { directory } => commands::generate::man(directory),
        Command::Doctor(args) => return ended(commands::doctor::doctor(args)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// Returns the exit code of a command that shows something.
fn ended(result: Result<Outcome, Failure>) -> ExitCode {
    match result {
        Ok(outcome) => outcome.into(),
        Err(failure) => failure.report(),
    }
}
