//! The cards of the machine, and how they become a parent and the LAN.

use crate::{command, faults::is_at_least, rows::prelude::*};

/// Devices of the first netns.
const DEVICES: &str = "/sys/class/net";

/// A network card, with a cable to a virtio card.
#[derive(Debug)]
pub(super) struct Card {
    /// Its place among the cards of `cargo xtask nics`, which is in its MAC.
    pub(super) number: u8,
    /// Its driver.
    pub(super) driver: &'static str,
    /// The first kernel whose driver has native XDP.
    native_since: Option<(u32, u32)>,
    /// Whether the card computes checksums of what it sends, also without help of the machine that it is emulated on.
    pub(super) checksums: bool,
}

pub(super) static E1000: Card = Card::new(0, "e1000", None);
pub(super) static E1000E: Card = Card::new(1, "e1000e", None);
pub(super) static VMXNET3: Card = Card::new(2, "vmxnet3", Some((6, 6)));
pub(super) static VIRTIO: Card = Card {
    // QEMU offers it only where the other end of the cable takes frames without checksum.
    checksums: false,
    ..Card::new(3, "virtio_net", Some((4, 10)))
};

impl Card {
    const fn new(number: u8, driver: &'static str, native_since: Option<(u32, u32)>) -> Self {
        Self {
            number,
            driver,
            native_since,
            checksums: true,
        }
    }

    /// Returns whether the driver of the running kernel has native XDP.
    pub(super) fn has_native_xdp(&self) -> Result<bool> {
        self.native_since
            .map_or(Ok(false), |(major, minor)| is_at_least(major, minor))
    }

    /// Builds a topology with the card as parent, and the card at the other end of its cable as the LAN.
    pub(super) fn site(&self, mode: Mode) -> Result<Site> {
        let site = Site::build_on(mode, "bridge", |site| self.plug(site))?;
        // The driver takes a while to find that there is a cable.
        let reached = site
            .host
            .run(|| ping(Some(HOST.v4.into()), VM01.v4, PATIENCE))?;
        ensure!(reached, "the host does not reach the LAN by this card");
        Ok(site)
    }

    fn plug(&self, site: &Site) -> Result<()> {
        for (end, netns, name) in [(1, &site.host, PARENT), (2, &site.vm01, LAN)] {
            let device = device(self.mac(end))?;
            let driver = driver(&device)?;
            ensure!(
                end != 1 || driver == self.driver,
                "{device} has the driver {driver}"
            );
            let mut command = Command::new("ip");
            command.args(["link", "set", "dev", &device, "netns"]);
            command.args([&netns.reference(), "name", name]);
            command::run(&mut command, "")?;
        }
        site.host.ip(&format!("link set {PARENT} up\n"))?;
        site.vm01.ip(&format!("link set {LAN} up\n"))
    }

    fn mac(&self, end: u8) -> [u8; 6] {
        [2, 0x4e, 0, 0, self.number, end]
    }
}

/// Returns the name of the device with this MAC in the first netns.
fn device(mac: [u8; 6]) -> Result<String> {
    let mac = colons(mac);
    fs::read_dir(DEVICES)
        .context("cannot list devices")?
        .filter_map(Result::ok)
        .find(|device| {
            fs::read_to_string(device.path().join("address"))
                .is_ok_and(|address| address.trim() == mac)
        })
        .and_then(|device| device.file_name().into_string().ok())
        .with_context(|| format!("no card with the MAC {mac} here"))
}

fn driver(device: &str) -> Result<String> {
    let driver = fs::read_link(format!("{DEVICES}/{device}/device/driver"))
        .with_context(|| format!("{device} has no driver"))?;
    let name = driver.file_name().context("a driver without a name")?;
    Ok(name.to_string_lossy().into_owned())
}
