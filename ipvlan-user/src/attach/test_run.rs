//! Runs an attached program on a frame that is neither received nor sent (`BPF_PROG_TEST_RUN`).

use aya::programs::{Program, TestRun as _, TestRunOptions, TestRunResult};
use ipvlan_common::Hook;

use super::{AttachError, Datapath, HookInfo};

/// Offset of `ingress_ifindex` in `struct __sk_buff`; `ifindex` is behind it.
const INGRESS_IFINDEX: usize = 36;
/// Largest frame that a program can return: the longest reply to a solicitation is shorter.
const LONGEST: usize = 2048;

/// `TC_ACT_SHOT`
const TC_ACT_SHOT: i32 = 2;
/// `TC_ACT_REDIRECT`
const TC_ACT_REDIRECT: i32 = 7;
/// `XDP_DROP`
const XDP_DROP: i32 = 1;
/// `XDP_TX`
const XDP_TX: i32 = 3;

/// What a program would do with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TestVerdict {
    /// The frame goes on to the next program, the driver or the kernel.
    Passed,
    /// The frame is dropped.
    Dropped,
    /// The frame, as the program has changed it, goes out of the parent or to an interface of the host.
    Redirected,
}

/// The outcome of a test run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestRun {
    /// The program and its hook.
    pub hook: HookInfo,
    /// Its verdict.
    pub verdict: TestVerdict,
    /// The frame that it left.
    pub frame: Vec<u8>,
}

impl Datapath {
    /// Runs the program that is attached to this hook once on `frame`, an Ethernet frame. Returns none if no program of
    /// this datapath is attached there.
    ///
    /// The frame is not sent and does not reach another program, but it is counted as any other.
    ///
    /// # Errors
    ///
    /// If the kernel refuses to run it.
    pub fn test_run(&self, hook: Hook, frame: &[u8]) -> Result<Option<TestRun>, AttachError> {
        let mut hooks = self.hooks().into_iter();
        let Some(info) = hooks.find(|info| info.point.hook() == hook) else {
            return Ok(None);
        };
        let program = info.program;
        let failed = |source| AttachError::Program {
            action: "run",
            program,
            source: Box::new(source),
        };
        let missing = AttachError::MissingProgram { program };
        let loaded = self.objects.attached().program(program).ok_or(missing)?;
        let mut context = [0; INGRESS_IFINDEX + 8];
        let parent = self.ifindex.to_ne_bytes();
        if hook == Hook::Ingress {
            context[INGRESS_IFINDEX..INGRESS_IFINDEX + 4].copy_from_slice(&parent);
        }
        context[INGRESS_IFINDEX + 4..].copy_from_slice(&parent);
        let mut buffer = vec![0; LONGEST];
        let mut options = TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut buffer),
            ..TestRunOptions::new()
        };
        let result = match loaded {
            Program::SchedClassifier(classifier) => {
                options.ctx_in = Some(&context);
                classifier.test_run(options)
            }
            Program::Xdp(xdp) => xdp.test_run(options),
            _ => return Err(AttachError::MissingProgram { program }),
        };
        let TestRunResult {
            return_value,
            data_size_out,
            ..
        } = result.map_err(failed)?;
        buffer.truncate(data_size_out as usize);
        Ok(Some(TestRun {
            hook: info,
            verdict: verdict(hook, return_value.cast_signed()),
            frame: buffer,
        }))
    }
}

const fn verdict(hook: Hook, code: i32) -> TestVerdict {
    match (hook, code) {
        (Hook::Xdp, XDP_TX) | (Hook::Ingress | Hook::Egress, TC_ACT_REDIRECT) => {
            TestVerdict::Redirected
        }
        (Hook::Xdp, XDP_DROP) | (Hook::Ingress | Hook::Egress, TC_ACT_SHOT) => TestVerdict::Dropped,
        _ => TestVerdict::Passed,
    }
}
