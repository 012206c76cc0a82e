//! Programs that are not ours: two instructions, loaded and attached without any library.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use ipvlan_tests::netns::Netns;
use nix::{errno::Errno, net::if_::if_nametoindex};

const PROG_LOAD: libc::c_long = 5;
const LINK_CREATE: libc::c_long = 28;
const PROG_TYPE_SCHED_CLS: u32 = 3;
const PROG_TYPE_XDP: u32 = 6;
const ATTACH_XDP: u32 = 37;
const ATTACH_TCX_INGRESS: u32 = 46;
const TC_ACT_SHOT: i32 = 2;
const XDP_PASS: i32 = 2;
/// `XDP_FLAGS_SKB_MODE`
const GENERIC: u32 = 1 << 1;

/// A generic XDP program of somebody else that passes everything; detached when dropped.
#[derive(Debug)]
pub(crate) struct Xdp {
    program: OwnedFd,
    _link: OwnedFd,
}

impl Xdp {
    /// Attaches it to `device`.
    pub(crate) fn attach(netns: &Netns, device: &str) -> Self {
        let program = load(PROG_TYPE_XDP, XDP_PASS);
        Self {
            _link: link(netns, device, &program, ATTACH_XDP, GENERIC),
            program,
        }
    }

    /// Its id in the kernel.
    pub(crate) fn program_id(&self) -> u32 {
        let path = format!("/proc/self/fdinfo/{}", self.program.as_raw_fd());
        let shown = std::fs::read_to_string(path).unwrap();
        let id = shown.lines().find_map(|line| line.strip_prefix("prog_id:"));
        id.unwrap().trim().parse().unwrap()
    }
}

/// A TCX ingress program of somebody else that drops everything; detached when dropped.
#[derive(Debug)]
pub(crate) struct Tcx {
    _link: OwnedFd,
}

impl Tcx {
    /// Attaches it to `device`.
    pub(crate) fn attach(netns: &Netns, device: &str) -> Self {
        let program = load(PROG_TYPE_SCHED_CLS, TC_ACT_SHOT);
        Self {
            _link: link(netns, device, &program, ATTACH_TCX_INGRESS, 0),
        }
    }
}

fn load(program_type: u32, verdict: i32) -> OwnedFd {
    // r0 = verdict; exit
    let instructions: [u64; 2] = [0xb7 | (u64::from(verdict.cast_unsigned()) << 32), 0x95];
    let license = c"GPL";
    let mut attributes = [0_u64; 9];
    attributes[0] = u64::from(program_type) | ((instructions.len() as u64) << 32);
    attributes[1] = instructions.as_ptr().expose_provenance() as u64;
    attributes[2] = license.as_ptr().expose_provenance() as u64;
    bpf(PROG_LOAD, &mut attributes)
}

fn link(netns: &Netns, device: &str, program: &OwnedFd, attach_type: u32, flags: u32) -> OwnedFd {
    let ifindex = netns.run(|| Ok(if_nametoindex(device)?)).unwrap();
    let mut words = [0_u32; 16];
    words[0] = program.as_raw_fd().try_into().unwrap();
    words[1] = ifindex;
    words[2] = attach_type;
    words[3] = flags;
    // The ifindex means something in that netns only.
    netns.run(|| Ok(bpf(LINK_CREATE, &mut words))).unwrap()
}

fn bpf<T>(command: libc::c_long, attributes: &mut [T]) -> OwnedFd {
    // SAFETY: `attributes` is as long as said and lives through the call, as does what it points
    // to; the kernel takes what is zero at its end for absent.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            attributes.as_mut_ptr(),
            size_of_val(attributes),
        )
    };
    let fd = Errno::result(result).unwrap_or_else(|errno| panic!("bpf({command}): {errno}"));
    // SAFETY: both commands return a new file descriptor that is ours alone.
    unsafe { OwnedFd::from_raw_fd(fd.try_into().unwrap()) }
}
