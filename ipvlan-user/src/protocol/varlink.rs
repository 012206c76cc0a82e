//! The agent's Varlink interface (<https://varlink.org>): methods, replies, errors, and their description.
//!
//! Descriptions of parameters and replies come from their types, so that they do not differ from what is sent.

mod description;

use std::{fmt, net::IpAddr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use zlink::{
    ReplyError,
    idl::{Comment, Method as Description},
    introspect::{CustomType, Type},
};

pub use self::description::description;
use self::description::fields;
use super::{
    Agent, CaptureParameters, CaptureReply, Child, Counters, Explanation, MonitorParameters,
    MonitorReply, Question, Sender, Sources,
};

/// Name of the interface.
pub const INTERFACE: &str = "io.ipvlan.Agent";
/// Where the interface is documented.
pub const URL: &str = "https://varlink.org";
/// Most children in one reply: a client reads a reply whole.
pub const CHILDREN_PER_REPLY: usize = 64;

/// Defines the methods: each is one line here, and its parameters and its reply are types below.
macro_rules! methods {
    ($($(#[doc = $doc:literal])+ $name:ident($parameters:ty) -> $reply:ty;)+) => {
        /// A method of the agent with its parameters.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Method {
            $($(#[doc = $doc])+ $name($parameters),)+
        }

        impl Method {
            fn parse(name: &str, parameters: &Parameters) -> Result<Self, CallError> {
                match name {
                    $(stringify!($name) => read(parameters).map(Self::$name),)+
                    _ => Err(CallError::Method(format!("{INTERFACE}.{name}"))),
                }
            }

            /// Returns the call as it is sent.
            pub fn call(&self) -> serde_json::Result<Call> {
                let (name, parameters) = match self {
                    $(Self::$name(of) => (stringify!($name), serde_json::to_value(of)?),)+
                };
                Ok(Call {
                    method: format!("{INTERFACE}.{name}"),
                    parameters: serde_json::from_value(parameters)?,
                })
            }
        }

        fn descriptions() -> Result<Vec<Description<'static>>, zlink::names::Error> {
            Ok(vec![$(Description::new_owned(
                stringify!($name),
                fields(<$parameters>::TYPE),
                fields(<$reply>::TYPE),
                vec![$(Comment::new($doc.trim_ascii())),+],
            )?,)+])
        }
    };
}

methods! {
    /// Returns the state of the agent. With the flag `more`, its children follow in further replies.
    Status(StatusParameters) -> StatusReply;
    /// Returns children. Needs the flag `more`.
    Children(ChildrenParameters) -> ChildrenReply;
    /// Returns the frames that each parent's programs have counted.
    Counters(CountersParameters) -> CountersReply;
    /// Explains whether an address is answered, by whom, and by which rules it is not: the attached programs are run on
    /// frames for it.
    Explain(ExplainParameters) -> ExplainReply;
    /// Returns frames that the programs of parents have counted, as they come, until the client closes the connection.
    /// Needs the flag `more`. For root and the user of the agent.
    Capture(CaptureParameters) -> CaptureReply;
    /// Returns events as they happen, until the client closes the connection. Needs the flag `more`. Events that are
    /// frames are for root and the user of the agent.
    Monitor(MonitorParameters) -> MonitorReply;
    /// Reads the configuration again, as SIGHUP does. For root and the user of the agent.
    Reload(ReloadParameters) -> ReloadReply;
}

/// Named parameters of a call.
pub type Parameters = serde_json::Map<String, serde_json::Value>;

/// A call on the wire, but for its flags.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Call {
    /// Full name of the method.
    pub method: String,
    /// Its parameters; none is the same as an empty object.
    #[serde(default)]
    pub parameters: Option<Parameters>,
}

/// Parameters of `Status`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(deny_unknown_fields)]
pub struct StatusParameters {
    /// Whether everything is read from the kernel first. Counters of links are those of the last such reading.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fresh: Option<bool>,
}

/// A reply of `Status`. One without `agent` continues the list of children.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct StatusReply {
    /// The agent, its parents without their children.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<Agent>,
    /// Children of the parents, if the call has the flag `more`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<PlacedChild>,
}

/// Parameters of `Children`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(deny_unknown_fields)]
pub struct ChildrenParameters {
    /// Only those of this parent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// As for `Status`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fresh: Option<bool>,
}

/// A reply of `Children`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct ChildrenReply {
    /// The children.
    #[serde(default)]
    pub children: Vec<PlacedChild>,
}

/// A child and its parent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, CustomType, JsonSchema)]
pub struct PlacedChild {
    /// Name of the parent.
    pub parent: String,
    /// The child.
    pub child: Child,
}

/// Parameters of `Counters`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(deny_unknown_fields)]
pub struct CountersParameters {}

/// The reply of `Counters`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct CountersReply {
    /// The counters of each parent.
    #[serde(default)]
    pub parents: Vec<ParentCounters>,
}

/// The counters of a parent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, CustomType, JsonSchema)]
pub struct ParentCounters {
    /// Name of the parent.
    pub parent: String,
    /// Frames by hook and reason.
    pub counters: Counters,
}

/// Parameters of `Explain`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(deny_unknown_fields)]
pub struct ExplainParameters {
    /// The address, without a prefix length.
    pub address: String,
    /// The sender of the frames: `lan`, `host`, or an address; if there is none, a station on the LAN and the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The parent whose programs are run; if there is none, that of the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
}

/// The reply of `Explain`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct ExplainReply {
    /// The explanation.
    pub explanation: Explanation,
}

/// Parameters of `Reload`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(deny_unknown_fields)]
pub struct ReloadParameters {}

/// The reply of `Reload`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct ReloadReply {
    /// Sources of the settings.
    pub config: Sources,
}

/// Errors of the interface.
#[derive(Clone, Debug, PartialEq, Eq, ReplyError, zlink::introspect::ReplyError)]
#[zlink(interface = "io.ipvlan.Agent")]
pub enum Error {
    /// The configuration was not read: nothing has changed.
    ReloadFailed {
        /// What is wrong with it.
        reason: String,
    },
    /// The agent does not serve this parent.
    NoSuchParent {
        /// Its name.
        parent: String,
    },
    /// No parent that is meant has such a child.
    NoSuchChild {
        /// Its name.
        child: String,
    },
    /// Frames are not captured.
    CaptureFailed {
        /// Why.
        reason: String,
    },
    /// Events are not reported.
    MonitorFailed {
        /// Why.
        reason: String,
    },
    /// The agent is stopping.
    Stopping,
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReloadFailed { reason } => {
                write!(formatter, "the settings stay as they were: {reason}")
            }
            Self::NoSuchParent { parent } => write!(formatter, "no agent serves `{parent}`"),
            Self::NoSuchChild { child } => write!(formatter, "no parent has a child `{child}`"),
            Self::CaptureFailed { reason } => write!(formatter, "no frames are captured: {reason}"),
            Self::MonitorFailed { reason } => write!(formatter, "no events are reported: {reason}"),
            Self::Stopping => formatter.write_str("the agent is stopping"),
        }
    }
}

impl std::error::Error for Error {}

/// Why a call cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallError {
    /// The agent has no such interface.
    Interface(String),
    /// The interface has no such method.
    Method(String),
    /// This parameter is not known, or not of its type.
    Parameter(String),
}

impl TryFrom<ExplainParameters> for Question {
    type Error = CallError;

    /// Reads the parameters. The sender is of the family of the address.
    fn try_from(parameters: ExplainParameters) -> Result<Self, CallError> {
        let ExplainParameters {
            address,
            from,
            parent,
        } = parameters;
        let wrong = |name: &str| CallError::Parameter(name.to_owned());
        let address: IpAddr = address.parse().map_err(|_| wrong("address"))?;
        let from = from.map(|from| from.parse()).transpose();
        let from: Option<Sender> = from.map_err(|_| wrong("from"))?;
        match from {
            Some(Sender::Address(of)) if of.is_ipv4() != address.is_ipv4() => Err(wrong("from")),
            _ => Ok(Self {
                address,
                from,
                parent,
            }),
        }
    }
}

impl TryFrom<Call> for Method {
    type Error = CallError;

    fn try_from(call: Call) -> Result<Self, CallError> {
        let Call { method, parameters } = call;
        match method.rsplit_once('.') {
            Some((INTERFACE, name)) => Self::parse(name, &parameters.unwrap_or_default()),
            Some((interface, _)) => Err(CallError::Interface(interface.to_owned())),
            None => Err(CallError::Method(method)),
        }
    }
}

/// Reads the parameters of a method.
fn read<T: DeserializeOwned>(parameters: &Parameters) -> Result<T, CallError> {
    let of = |parameters: &Parameters| serde_json::from_value::<T>(parameters.clone().into());
    of(parameters).map_err(|_wrong| {
        // The one without which the others are understood.
        let is_wrong = |name: &&String| {
            let mut others = parameters.clone();
            others.remove(*name);
            of(&others).is_ok()
        };
        let names = parameters.keys();
        let wrong = names
            .clone()
            .find(is_wrong)
            .or_else(|| names.clone().next());
        CallError::Parameter(wrong.cloned().unwrap_or_default())
    })
}
