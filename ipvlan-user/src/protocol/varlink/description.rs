//! The description of the interface, from the types of parameters and replies.

use zlink::{
    idl::{self, Comment, CustomType as Custom, Interface, Parameter},
    introspect::{CustomType as _, ReplyError as _},
};

use super::{Error, INTERFACE, ParentCounters, PlacedChild, descriptions};
use crate::protocol::{
    Address, AddressOwner, Agent, AppliedRule, Child, ChildCounters, Conflict, Container, Counters,
    DatapathState, Event, EventTotals, ExceededQuota, Explanation, Frame, Limits, LinkStats,
    MapEntry, MonitorEvent, Netns, Parent, Program, Rival, Sources, SyncEvent, SyncStats,
    TestedFrame,
};

/// Returns the fields of a structure as parameters.
pub(super) fn fields(of: &'static idl::Type<'static>) -> Vec<Parameter<'static>> {
    of.as_object()
        .map(|fields| fields.iter().cloned().collect())
        .unwrap_or_default()
}

/// Returns the description of the interface, one field per line.
pub fn description() -> Result<String, zlink::names::Error> {
    let interface = interface()?;
    let about = comments("", interface.comments());
    let mut parts = vec![format!("{about}interface {INTERFACE}\n")];
    for of in interface.custom_types().filter_map(Custom::as_object) {
        let (about, fields) = (comments("", of.comments()), listed(of.fields()));
        parts.push(format!("{about}type {} {fields}\n", of.name()));
    }
    for of in interface.methods() {
        let (inputs, outputs) = (listed(of.inputs()), listed(of.outputs()));
        let about = comments("", of.comments());
        parts.push(format!(
            "{about}method {}{inputs} -> {outputs}\n",
            of.name()
        ));
    }
    for of in interface.errors() {
        let (about, fields) = (comments("", of.comments()), listed(of.fields()));
        parts.push(format!("{about}error {} {fields}\n", of.name()));
    }
    Ok(parts.join("\n"))
}

/// Renders comments, without the marks of references to Rust items.
fn comments<'a>(indent: &str, of: impl Iterator<Item = &'a Comment<'a>>) -> String {
    let lines = of.flat_map(|comment| comment.text().lines());
    let lines = lines.map(|line| {
        let line = line.trim().trim_start_matches("# ").trim();
        let line = line.replace("[`", "`").replace("`]", "`");
        format!("{indent}# {line}\n")
    });
    lines.collect()
}

/// Renders fields or parameters.
fn listed<'a>(fields: impl Iterator<Item = &'a Parameter<'a>>) -> String {
    let fields = fields.map(|field| {
        let about = comments("    ", field.comments());
        format!("{about}    {}: {}", field.name(), field.ty())
    });
    let fields: Vec<_> = fields.collect();
    if fields.is_empty() {
        "()".to_owned()
    } else {
        format!("(\n{}\n)", fields.join(",\n"))
    }
}

fn interface() -> Result<Interface<'static>, zlink::names::Error> {
    Interface::new_owned(
        INTERFACE,
        descriptions()?,
        [
            Address::CUSTOM_TYPE,
            AddressOwner::CUSTOM_TYPE,
            Agent::CUSTOM_TYPE,
            AppliedRule::CUSTOM_TYPE,
            Child::CUSTOM_TYPE,
            ChildCounters::CUSTOM_TYPE,
            Conflict::CUSTOM_TYPE,
            Container::CUSTOM_TYPE,
            Counters::CUSTOM_TYPE,
            DatapathState::CUSTOM_TYPE,
            Event::CUSTOM_TYPE,
            EventTotals::CUSTOM_TYPE,
            ExceededQuota::CUSTOM_TYPE,
            Explanation::CUSTOM_TYPE,
            Frame::CUSTOM_TYPE,
            Limits::CUSTOM_TYPE,
            LinkStats::CUSTOM_TYPE,
            MapEntry::CUSTOM_TYPE,
            MonitorEvent::CUSTOM_TYPE,
            Netns::CUSTOM_TYPE,
            Parent::CUSTOM_TYPE,
            ParentCounters::CUSTOM_TYPE,
            PlacedChild::CUSTOM_TYPE,
            Program::CUSTOM_TYPE,
            Rival::CUSTOM_TYPE,
            Sources::CUSTOM_TYPE,
            SyncEvent::CUSTOM_TYPE,
            SyncStats::CUSTOM_TYPE,
            TestedFrame::CUSTOM_TYPE,
        ]
        .map(Custom::clone)
        .into(),
        Error::VARIANTS.iter().map(|&of| of.clone()).collect(),
        vec![Comment::new(
            "The agent of the eBPF datapath for ipvlan parents.",
        )],
    )
}
