//! A network namespace, and the container or service in it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use zlink::introspect::CustomType;

use super::{Runtime, Word};

/// A network namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, CustomType, JsonSchema)]
pub struct Netns {
    /// Its nsid in the agent's netns; none if it is the agent's own.
    pub nsid: Option<i32>,
    /// Its inode.
    pub inode: Option<u64>,
    /// Its names.
    pub names: Vec<String>,
    /// A process that lives in it.
    pub pid: Option<i32>,
    /// The program that this process runs, as it calls itself.
    #[serde(default)]
    pub comm: Option<String>,
    /// The container or service that this process belongs to; none if its control group shows none.
    #[serde(default)]
    pub container: Option<Container>,
}

/// A container, machine or service. Texts are escaped and capped, and none of them proves an identity: except for id
/// and pod uid, a container can have any name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, CustomType, JsonSchema)]
pub struct Container {
    /// Its runtime.
    pub runtime: Word<Runtime>,
    /// Its id, 64 hexadecimal digits; none if the runtime has no ids.
    pub id: Option<String>,
    /// Its name; none if the agent cannot read it.
    pub name: Option<String>,
    /// The pod of Kubernetes, as `NAMESPACE/NAME`; none if it is in none, or the agent cannot read its name.
    pub pod: Option<String>,
    /// The uid of the pod.
    pub pod_uid: Option<String>,
}
