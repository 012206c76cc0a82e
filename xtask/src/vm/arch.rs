//! What a virtual machine takes from its architecture: everything that names one is here.

/// An architecture, as Debian, QEMU and the kernel's command line have to be told of it.
#[derive(Debug)]
pub(crate) struct Arch {
    /// Debian's name of it, as in the names of kernel packages.
    pub debian: &'static str,
    /// QEMU's program.
    pub emulator: &'static str,
    /// The Debian package with that program.
    pub package: &'static str,
    /// QEMU's arguments where KVM is usable.
    pub kvm: &'static [&'static str],
    /// QEMU's arguments for emulation. The clock counts instructions of the only processor.
    pub emulation: &'static [&'static str],
    /// The kernel's command line for every machine, with the console that QEMU's first serial port is.
    pub command_line: &'static str,
}

/// The architecture of the machines.
pub(crate) const ARCH: Arch = Arch {
    debian: "amd64",
    emulator: "qemu-system-x86_64",
    package: "qemu-system-x86",
    kvm: &["-accel", "kvm", "-cpu", "host", "-smp", "2"],
    // QEMU 7.2 emulates cmpxchg16b with wrong flags now and then, and the kernel's allocator uses it
    // where there is one: a double fault in kmem_cache_alloc. Where string instructions are said to be fast
    // ("erms") the kernel clears pages byte by byte, which an emulator counts as an instruction each. A fifth level of
    // page tables ("la57") makes an emulator slower by a fifteenth.
    emulation: &[
        "-accel",
        "tcg,thread=single",
        "-icount",
        "shift=0,sleep=off",
        "-cpu",
        "max,-cx16,-erms,-la57",
        "-smp",
        "1",
    ],
    // Without `no_timer_check` the kernel counts ticks of the timer at boot and panics if an emulator on a
    // busy host gives it too few ("IO-APIC + timer doesn't work").
    //
    // The rest saves an emulator work. Without `norandmaps` it translates every program anew for each process,
    // because it keeps what it translated by address. With the local APIC's timer a kernel reads the time over
    // and over for a tenth of a second to learn how fast that is, and reading it is what costs an emulator most
    // that counts instructions.
    command_line: "console=ttyS0 quiet panic=-1 no_timer_check norandmaps nolapic_timer cryptomgr.notests \
                   rdinit=/init",
};
