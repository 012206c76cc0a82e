//! Options of `status`, `children`, `counters` and `reload`: commands that ask agents.

use clap::{Args, Subcommand};

use super::{FamilyArgs, FindArgs, OutputArgs, ParentArgs, Span};

/// Options of `status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// How to show it.
    #[command(flatten)]
    pub output: OutputArgs,

    /// Addresses to show.
    #[command(flatten)]
    pub family: FamilyArgs,

    /// Show one line for each parent
    #[arg(long)]
    pub brief: bool,

    /// Have the agents read everything from the kernel first
    ///
    /// Otherwise the kernel's counters of links are those of the last such reading; everything else is current.
    #[arg(long)]
    pub fresh: bool,

    /// Wait until an agent serves each parent and all is well, for at most this time [default: 30s]
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, default_missing_value = "30s")]
    pub wait: Option<Span>,

    /// Agents and parents.
    #[command(flatten)]
    pub of: ParentArgs,
}

/// Options of `children`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct ChildrenArgs {
    /// What to do; the default is `list`.
    #[command(subcommand)]
    pub command: Option<ChildrenCommand>,

    /// Options of `list`.
    #[command(flatten)]
    pub list: ChildrenListArgs,
}

/// What to show of children.
#[derive(Debug, Subcommand)]
pub enum ChildrenCommand {
    /// List all children (the default)
    List(ChildrenListArgs),
    /// Show everything about the children with this name or address
    Show {
        /// Name of the link, its netns or its container, or an address
        #[arg(value_name = "NAME|ADDRESS")]
        child: String,

        /// The options of `list`.
        #[command(flatten)]
        list: ChildrenListArgs,
    },
}

/// Options of `children list`.
#[derive(Debug, Args)]
pub struct ChildrenListArgs {
    /// How to show them.
    #[command(flatten)]
    pub output: OutputArgs,

    /// Addresses to show.
    #[command(flatten)]
    pub family: FamilyArgs,

    /// Show one line for each child
    #[arg(long)]
    pub brief: bool,

    /// Have the agents read everything from the kernel first
    #[arg(long)]
    pub fresh: bool,

    /// Agents and parents.
    #[command(flatten)]
    pub of: ParentArgs,
}

/// Options of `counters`.
#[derive(Debug, Args)]
pub struct CountersArgs {
    /// How to show them.
    #[command(flatten)]
    pub output: OutputArgs,

    /// Show again and again, at this interval, the counters that changed, per second [default: 1s]
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, default_missing_value = "1s")]
    pub watch: Option<Span>,

    /// Show counters that are 0, too
    #[arg(long)]
    pub all: bool,

    /// Agents and parents.
    #[command(flatten)]
    pub of: ParentArgs,
}

/// Options of `reload`.
#[derive(Debug, Args)]
pub struct ReloadArgs {
    /// How to show the outcome.
    #[command(flatten)]
    pub output: OutputArgs,

    /// Directories of the agents.
    #[command(flatten)]
    pub find: FindArgs,
}
