//! Checks whether maps pinned by a previous agent can be reused.

use aya::maps::MapInfo;
use ipvlan_common::maps;
use tracing::info;

use super::{AttachError, AttachOptions, OBJECT};
use crate::{maps::MapsError, pins::MapPins};

/// What the kernel was asked to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    flags: u32,
}

/// Whether every map of ours is in this directory, in the shape that this build and these options want.
/// Any process with the path of a map can open it, whatever its shape is.
pub(super) fn fits(directory: &MapPins, options: AttachOptions) -> Result<bool, AttachError> {
    let object = aya_obj::Object::parse(OBJECT)
        .map_err(|error| AttachError::load(aya::EbpfError::ParseError(error)))?;
    for name in maps::ALL {
        let wanted = object
            .maps
            .get(name)
            .map(|map| Shape {
                map_type: map.map_type(),
                key_size: map.key_size(),
                value_size: map.value_size(),
                max_entries: options.entries(name).unwrap_or(map.max_entries()),
                flags: map.map_flags(),
            })
            .ok_or(MapsError::Missing { name })?;
        let pinned = MapInfo::from_pin(directory.map(name)).and_then(|info| {
            Ok(Shape {
                map_type: info.map_type()? as u32,
                key_size: info.key_size(),
                value_size: info.value_size(),
                max_entries: info.max_entries(),
                flags: info.map_flags(),
            })
        });
        match pinned {
            Ok(pinned) if pinned == wanted => {}
            Ok(pinned) => {
                info!(
                    map = name,
                    ?pinned,
                    ?wanted,
                    "pinned maps have another shape: making new ones"
                );
                return Ok(false);
            }
            Err(error) => {
                info!(map = name, %error, "pinned maps are not complete: making new ones");
                return Ok(false);
            }
        }
    }
    Ok(true)
}
