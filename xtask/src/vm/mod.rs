//! Virtual machines to run the lab in: a Debian kernel, an image made of this workspace's own
//! binaries, and QEMU. What runs inside is the `lab` binary; see the crate `ipvlan-tests`.

pub(crate) mod arch;
pub(crate) mod archive;
pub(crate) mod console;
pub(crate) mod cpio;
pub(crate) mod initramfs;
pub(crate) mod kernels;
pub(crate) mod machine;
pub(crate) mod modules;
pub(crate) mod qemu;
pub(crate) mod stamped;
pub(crate) mod watch;
