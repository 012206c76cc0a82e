//! How long a snapshot takes; run with `--nocapture` to see.

use std::time::Instant;

use ipvlan_user::discover::Scope;

use super::lab::{PARENT, Unnamed, child_kind, discover, everything, in_fresh_netns, ip_batch};

#[test]
fn snapshots_of_many_children_are_fast() {
    in_fresh_netns(async || {
        for (netnses, children) in [(20, 1), (100, 10)] {
            let mut discover = discover();
            let lab: Vec<_> = (0..netnses).map(|_| Unnamed::new()).collect();
            for (number, netns) in lab.iter().enumerate() {
                let add = |child| {
                    let pid = netns.pid();
                    format!(
                        "link add c{child} link {PARENT} netns {pid} type {}",
                        child_kind()
                    )
                };
                ip_batch(None, (0..children).map(add));
                let add = |child| format!("addr add 10.{number}.{child}.1/24 dev c{child}");
                ip_batch(Some(netns), (0..children).map(add));
            }
            assert_eq!(everything(&mut discover).children.len(), netnses * children);
            for scope in [Scope::Everything, Scope::KnownNetns] {
                let mut times: Vec<_> = (0..11)
                    .map(|_| {
                        let start = Instant::now();
                        discover.snapshot(scope, None).expect("snapshot");
                        start.elapsed()
                    })
                    .collect();
                times.sort();
                println!(
                    "{netnses} netns x {children} children, {scope:?}: min {:?}, median {:?}",
                    times[0], times[5]
                );
            }
        }
    });
}
