//! Programs that capture frames, in the place of the usual ones.
//!
//! They are those of another object, which shares the pinned maps. It is loaded when a capture begins and unloaded when
//! it ends, so that a parent without a capture has nothing of it: neither instructions nor maps.

use std::io;

use aya::{
    Ebpf,
    maps::{Array, MapData, MapError, PerCpuArray, RingBuf},
};
use ipvlan_common::maps;

use super::{AttachError, CAPTURE_OBJECT, Datapath, datapath::host_cookie, objects, tc, xdp};
use crate::{
    maps::MapsError,
    pins::{Pinned, Pins},
};

/// The maps of programs that capture.
pub struct CaptureMaps {
    /// Records, each a [`CaptureHeader`](ipvlan_common::CaptureHeader) and the start of the frame.
    pub ring: RingBuf<MapData>,
    /// Frames that the ring buffer had no space for.
    pub lost: PerCpuArray<MapData, u64>,
    /// Bytes of a frame that are copied.
    pub length: Array<MapData, u32>,
}

impl CaptureMaps {
    fn take(object: &mut Ebpf) -> Result<Self, MapsError> {
        fn open<M: TryFrom<aya::maps::Map, Error = MapError>>(
            object: &mut Ebpf,
            name: &'static str,
        ) -> Result<M, MapsError> {
            let map = object.take_map(name).ok_or(MapsError::Missing { name })?;
            M::try_from(map).map_err(|source| MapsError::Kernel {
                name,
                action: "open".to_owned(),
                source: Box::new(source),
            })
        }
        Ok(Self {
            ring: open(object, maps::CAPTURE)?,
            lost: open(object, maps::CAPTURE_LOST)?,
            length: open(object, maps::CAPTURE_LENGTH)?,
        })
    }
}

impl Datapath {
    /// Puts programs that capture in the place of the attached ones; each replacement is atomic. `length` is how many
    /// bytes of a frame are copied.
    ///
    /// # Errors
    ///
    /// [`AttachError::Unpinned`] without pins. If a program cannot be loaded or replaced, the usual ones are attached.
    pub fn start_capture(&mut self, length: u32) -> Result<CaptureMaps, AttachError> {
        // A map whose pin is missing would be created.
        self.repin()?;
        let (Some(pinned), Pins::Keep(dir)) = (&self.pinned, &self.pins) else {
            return Err(AttachError::Unpinned);
        };
        let mut object = {
            let _acting = dir.act();
            let directory = dir.maps()?.ok_or(AttachError::Unpinned)?;
            objects::load(
                CAPTURE_OBJECT,
                host_cookie(),
                self.options,
                Some(&directory),
            )?
        };
        check_shared(&object, pinned)?;
        let mut maps = CaptureMaps::take(&mut object)?;
        maps.length
            .set(0, length, 0)
            .map_err(|source| MapsError::Kernel {
                name: maps::CAPTURE_LENGTH,
                action: "set".to_owned(),
                source: Box::new(source),
            })?;
        // What the verifier refuses is not attached anywhere.
        for hook in [&self.ingress, &self.egress].into_iter().flatten() {
            tc::load(&mut object, hook.program())?;
        }
        if let Some(hook) = &self.xdp {
            xdp::load(&mut object, hook.mode())?;
        }
        self.objects.set_capturing(Some(object));
        if let Err(error) = self.replace_all() {
            self.stop_capture()?;
            return Err(error);
        }
        Ok(maps)
    }

    /// Puts the usual programs in the place of those that capture, if such are attached.
    ///
    /// # Errors
    ///
    /// If one cannot be replaced. The next [`Self::set_programs`] tries it again.
    pub fn stop_capture(&mut self) -> Result<(), AttachError> {
        // Unloaded when nothing of it is attached any more.
        let _before = self.objects.set_capturing(None);
        self.replace_all()
    }

    /// Replaces each attached program by that of the current object.
    fn replace_all(&mut self) -> Result<(), AttachError> {
        for hook in [&mut self.ingress, &mut self.egress].into_iter().flatten() {
            hook.replace(&mut self.objects, hook.program())?;
        }
        match &mut self.xdp {
            Some(hook) => hook.replace(&mut self.objects),
            None => Ok(()),
        }
    }
}

/// Fails if the object does not have the maps that the attached programs have: another process can remove a pin at any
/// time.
fn check_shared(object: &Ebpf, pinned: &Pinned) -> Result<(), AttachError> {
    for (name, id) in pinned.map_ids() {
        let map = object.map(name).ok_or(MapsError::Missing { name })?;
        let source = match id_of(map) {
            Ok(found) if found == id => continue,
            Ok(_) => MapError::IoError(io::Error::other("another process replaced its pin")),
            Err(error) => error,
        };
        return Err(AttachError::Maps(MapsError::Kernel {
            name,
            action: "share".to_owned(),
            source: Box::new(source),
        }));
    }
    Ok(())
}

fn id_of(map: &aya::maps::Map) -> Result<u32, MapError> {
    use aya::maps::Map;
    match map {
        Map::Array(data) | Map::HashMap(data) | Map::PerCpuArray(data) | Map::RingBuf(data) => {
            data.info().map(|info| info.id())
        }
        _ => Err(MapError::IoError(io::Error::other("it is of another kind"))),
    }
}
