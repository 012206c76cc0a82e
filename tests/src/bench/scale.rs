//! From the LAN to one of many children: the driver's table has 256 buckets, ours is as large as need be.

use anyhow::Result;

use super::{
    Bench, Compared, let_in, rx,
    site::{Kind, Site},
};
use crate::{demo::mode::Mode, family::Family, lab::Lab};

const CHILDREN: [u32; 4] = [1, 256, 4_096, 16_384];

pub(super) fn measure(bench: &Bench, lab: &Lab) -> Result<()> {
    let path = "RX, LAN to one of many l3 children";
    let mut one = None;
    for children in CHILDREN {
        println!("making {children} children");
        let site = Site::build(lab, Kind::Ipvlan(Mode::L3), children)?;
        let _let_in = let_in(&site)?;
        let measure = || rx::by_live_frames(bench, &site, children / 2, Family::V4);
        let alone = measure()?;
        let base = *one.get_or_insert(alone);
        bench.tell_beside(&Compared::new(path, "no agent", children), base, alone)?;
        let compared = Compared::new(path, "agent", children);
        bench.beside_agent(&site, &[], &compared, base, measure)?;
    }
    Ok(())
}
