//! Netns share the pace of the parent.

use super::*;

/// Row S9 of the attack table: 1 200 addresses given up in turn every 0.6 s, all of them lower than those of
/// the other child.
#[test]
fn a_new_address_is_probed_for_at_once_and_announced_while_another_netns_churns() {
    let mut world = World::new(LanPolicy::default(), &Quotas::default());
    let mut sent = Vec::new();
    let mut new = Vec::new();
    for round in 0..50_u32 {
        for number in 0..1_200 {
            world.set(v4(number), None);
        }
        for number in 0..1_200 {
            world.set(v4(number), Some(A));
        }
        if round % 5 == 4 {
            let at = (world.now - world.start).as_secs_f64();
            let number = 100_000 + round;
            let addresses = [v4(number), v6(u16::try_from(round).unwrap())];
            for address in addresses {
                world.set(address, Some(B));
            }
            new.push((at, addresses));
        }
        sent.extend(world.run(Duration::from_millis(600)));
    }
    for (at, addresses) in new.iter().take(9) {
        for &address in addresses {
            let probed = first(&sent, Said::Probe(address)).unwrap() - at;
            let announced = first(&sent, Said::Announcement(address)).unwrap() - at;
            assert!(probed < 0.5, "{address}: {probed}");
            assert!(announced < 2.0, "{address}: {announced}");
        }
    }
    let most = most_in_a_second(&sent);
    assert!(most <= 13, "{most} frames in a second");
    // The other netns has had its share, and that is reported.
    let of_a = sent.iter().filter(|(_, said)| match said {
        Said::Probe(address) | Said::Announcement(address) => *address < v4(1_200),
        Said::ToRouters(_) => false,
    });
    let of_a = of_a.count();
    assert!((140..=158).contains(&of_a), "{of_a}");
    let exceeded = world.schedule.exceeded();
    let netns: Vec<_> = exceeded.keys().copied().collect();
    assert!(
        netns.contains(&(NetnsId::Nsid(A), QuotaKind::Announcements)),
        "{exceeded:?}"
    );
    // What was given up has left nothing behind.
    for number in 0..1_200 {
        world.set(v4(number), None);
    }
    world.run(Duration::from_mins(2));
    assert_eq!(world.schedule.next_due(world.now), None);
}

/// As above, by ten netns of one container.
#[test]
fn a_new_address_is_announced_in_time_while_ten_netns_churn() {
    let mut world = World::new(LanPolicy::default(), &Quotas::default());
    let mut sent = Vec::new();
    for round in 0..20 {
        for number in 0..1_200 {
            let netns = 100 + i32::try_from(number % 10).unwrap();
            world.set(v4(number), None);
            world.set(v4(number), Some(netns));
        }
        if round == 10 {
            world.set(v4(100_000), Some(B));
        }
        sent.extend(world.run(Duration::from_millis(600)));
    }
    let probed = first(&sent, Said::Probe(v4(100_000))).unwrap() - 6.0;
    let announced = first(&sent, Said::Announcement(v4(100_000))).unwrap() - 6.0;
    assert!(probed < 0.5 && announced < 2.0, "{probed} {announced}");
    assert!(most_in_a_second(&sent) <= 13);
}

/// A start with many children is slow, and a child that comes later does not wait for it.
#[test]
fn a_new_address_goes_before_the_thousand_that_were_there_at_start() {
    let mut world = World::unstarted(LanPolicy::default(), &Quotas::default());
    // Those of the first call are the ones that were there.
    let candidates =
        (0..1_000).map(|number| (v4(number), of(100 + i32::try_from(number).unwrap())));
    world.update(candidates.collect());
    let mut sent = world.run(Duration::from_secs(20));
    world.set(v4(100_000), Some(B));
    assert!(world.schedule.withheld().is_empty());
    sent.extend(world.run(Duration::from_mins(12)));
    let probed = first(&sent, Said::Probe(v4(100_000))).unwrap() - 20.0;
    let announced = first(&sent, Said::Announcement(v4(100_000))).unwrap() - 20.0;
    assert!(probed < 0.2 && announced < 1.0, "{probed} {announced}");
    assert!(most_in_a_second(&sent) <= 13);
    // All have their turn: three probes and three announcements each.
    assert_eq!(sent.len(), 6 * 1_001);
    for number in 0..1_000 {
        assert!(first(&sent, Said::Announcement(v4(number))).is_some());
    }
}
