//! `ipvlan completions` and `ipvlan man`: what shells and `man` know of the command line, made from its definition.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use clap::CommandFactory as _;
use clap_complete::Shell;
use clap_mangen::Man;

use super::print;
use crate::{cli::Cli, exit::Failure, text::escaped_path};

/// The name of the program, which shells complete the arguments of.
const PROGRAM: &str = "ipvlan";

/// An error of `ipvlan man`.
#[derive(Debug, thiserror::Error)]
pub enum ManError {
    /// A page could not be written.
    #[error("write man pages to {}", escaped_path(directory))]
    Write {
        /// Where to.
        directory: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

/// Prints the completions of a shell to standard output.
pub fn completions(shell: Shell) -> Result<(), Failure> {
    print(completions_of(shell))
}

/// Writes a man page of each command to a directory, which must exist, or prints the one of `ipvlan` to standard output.
pub fn man(directory: Option<PathBuf>) -> Result<(), Failure> {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let Some(directory) = directory else {
        let mut text = Vec::new();
        let rendered = page(&command).render(&mut text);
        rendered.map_err(Failure::system("render a man page"))?;
        return print(text);
    };
    write_pages(&command, &directory).map_err(|source| ManError::Write { directory, source })?;
    Ok(())
}

fn page(command: &clap::Command) -> Man {
    Man::new(command.clone()).source(concat!("ipvlan ", env!("CARGO_PKG_VERSION")))
}

fn write_pages(command: &clap::Command, directory: &Path) -> io::Result<()> {
    let page = page(command);
    let mut text = Vec::new();
    page.render(&mut text)?;
    // A link that another user left in a writable directory would lead elsewhere.
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    options.custom_flags(libc::O_NOFOLLOW);
    let mut file = options.open(directory.join(page.get_filename()))?;
    file.write_all(&text)?;
    command
        .get_subcommands()
        .try_for_each(|command| write_pages(command, directory))
}

fn completions_of(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), PROGRAM, &mut script);
    script
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use clap::ValueEnum as _;

    use super::*;

    /// Long options of all commands that `--help` shows.
    fn options() -> Vec<String> {
        let command = Cli::command();
        let nested = command
            .get_subcommands()
            .flat_map(clap::Command::get_subcommands);
        let commands = command.get_subcommands().chain(nested);
        let arguments = commands.flat_map(clap::Command::get_arguments);
        let shown = arguments.filter(|argument| !argument.is_hide_set());
        let mut options: Vec<_> = shown
            .filter_map(clap::Arg::get_long)
            .map(str::to_owned)
            .collect();
        options.sort();
        options.dedup();
        options
    }

    #[test]
    fn completions_of_each_shell_have_every_command_and_option() {
        for &shell in Shell::value_variants() {
            let script = String::from_utf8(completions_of(shell)).unwrap();
            let commands = Cli::command();
            let commands = commands.get_subcommands().filter(|it| !it.is_hide_set());
            for word in commands.map(|it| it.get_name().to_owned()).chain(options()) {
                assert!(script.contains(&word), "{shell}: {word}");
            }
        }
    }

    #[test]
    fn completions_of_bash_are_a_script_that_completes() {
        let directory = tempfile::tempdir().unwrap();
        let script = directory.path().join("ipvlan.bash");
        fs::write(&script, completions_of(Shell::Bash)).unwrap();
        // What bash would do after `ipvlan run --dad s<TAB>`.
        let ask = r#"source "$1"; COMP_WORDS=(ipvlan run --dad s); COMP_CWORD=3; _ipvlan ipvlan s --dad; echo "${COMPREPLY[@]}""#;
        let ended = Command::new("bash")
            .args(["-c", ask, "bash"])
            .arg(&script)
            .output()
            .unwrap();
        assert_eq!(
            String::from_utf8_lossy(&ended.stdout),
            "strict\n",
            "{ended:?}"
        );
        assert!(ended.stderr.is_empty(), "{ended:?}");
    }

    /// The names of the pages of a command and of those below it.
    fn names_of(command: &clap::Command, before: &str) -> Vec<String> {
        let name = format!("{before}{}", command.get_name());
        let below = command.get_subcommands();
        let mut names: Vec<_> = below
            .flat_map(|of| names_of(of, &format!("{name}-")))
            .collect();
        names.push(format!("{name}.1"));
        names
    }

    #[test]
    fn man_pages_have_every_command_and_option() {
        let directory = tempfile::tempdir().unwrap();
        man(Some(directory.path().to_owned())).unwrap();
        let mut pages: Vec<_> = fs::read_dir(directory.path())
            .unwrap()
            .map(|it| it.unwrap().path())
            .collect();
        pages.sort();
        let names: Vec<_> = pages
            .iter()
            .map(|it| it.file_name().unwrap().to_str().unwrap())
            .collect();
        let mut expected = names_of(&Cli::command(), "");
        expected.sort();
        assert_eq!(names, expected);
        let text: String = pages
            .iter()
            .map(|it| fs::read_to_string(it).unwrap())
            .collect();
        for option in options() {
            // roff writes a hyphen as `\-`.
            let written = format!(r"\-\-{}", option.replace('-', r"\-"));
            assert!(text.contains(&written), "{option}");
        }
    }

    #[test]
    fn a_page_is_not_written_to_where_a_symbolic_link_leads() {
        let [directory, other] = [(), ()].map(|()| tempfile::tempdir().unwrap());
        let other = other.path().join("other");
        fs::write(&other, "kept").unwrap();
        std::os::unix::fs::symlink(&other, directory.path().join("ipvlan-run.1")).unwrap();
        let failure = man(Some(directory.path().to_owned())).unwrap_err();
        let text = failure.render();
        assert!(text.contains("symbolic link"), "{text}");
        assert_eq!(fs::read_to_string(&other).unwrap(), "kept");
    }

    #[test]
    fn a_directory_that_is_not_there_is_named() {
        let failure = man(Some("/no/such/directory".into())).unwrap_err();
        let text = failure.render();
        assert!(
            text.starts_with("error: write man pages to /no/such/directory\n"),
            "{text}"
        );
        assert_eq!(failure.exit_code(), 1);
    }
}
