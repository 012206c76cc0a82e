//! Why a call gets an error for an answer.

use zlink::varlink_service;

use crate::protocol::varlink::{CallError, Error};

/// Why a call gets an error for an answer.
pub(super) enum Refusal {
    /// By the interface of the agent.
    Agent(Error),
    /// By the interface that every service has.
    Service(varlink_service::Error<'static>),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Agent(error)
    }
}

impl From<varlink_service::Error<'static>> for Refusal {
    fn from(error: varlink_service::Error<'static>) -> Self {
        Self::Service(error)
    }
}

impl From<CallError> for Refusal {
    fn from(error: CallError) -> Self {
        Self::Service(match error {
            CallError::Interface(interface) => varlink_service::Error::InterfaceNotFound {
                interface: interface.into(),
            },
            CallError::Method(method) => varlink_service::Error::MethodNotFound {
                method: method.into(),
            },
            CallError::Parameter(parameter) => varlink_service::Error::InvalidParameter {
                parameter: parameter.into(),
            },
        })
    }
}
