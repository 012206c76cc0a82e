use super::{super::report::Status, *};

type Row = (fn(&mut Kernel), &'static str, Status, &'static str);

fn kernel() -> Kernel {
    Kernel {
        release: "6.12.95+deb13-cloud-amd64".to_owned(),
        has_ipvlan: true,
        programs: vec![("TC programs", Ok(true)), ("bpf_redirect", Ok(true))],
        tcx: Ok(true),
        has_btf: true,
        jit: Some(1),
        pins: ("/sys/fs/bpf/ipvlan".into(), Ok(true)),
        caller: Vec::new(),
        agents: vec![(7, Ok(Vec::new()))],
    }
}

#[test]
fn a_kernel_that_has_everything_is_ok() {
    let checks = judge(&kernel());
    assert!(
        checks.iter().all(|check| check.status == Status::Ok),
        "{checks:?}"
    );
}

#[test]
fn each_fault_is_named_by_its_line() {
    let denied = || "denied".to_owned();
    let rows: [Row; 11] = [
        (
            |it| it.release = "5.15.0".into(),
            "kernel.version",
            Status::Fail,
            "5.15",
        ),
        (
            |it| it.release = "6.0.19".into(),
            "kernel.version",
            Status::Fail,
            "6.0",
        ),
        (
            |it| it.has_ipvlan = false,
            "kernel.ipvlan",
            Status::Warn,
            "driver",
        ),
        (
            |it| it.programs[1].1 = Ok(false),
            "kernel.programs",
            Status::Fail,
            "bpf_redirect",
        ),
        (|it| it.tcx = Ok(false), "kernel.tcx", Status::Ok, "clsact"),
        (
            |it| it.has_btf = false,
            "kernel.btf",
            Status::Ok,
            "without it",
        ),
        (|it| it.jit = Some(0), "kernel.jit", Status::Warn, "= 0"),
        (|it| it.jit = None, "kernel.jit", Status::Skip, "root"),
        (
            |it| it.pins.1 = Ok(false),
            "kernel.bpffs",
            Status::Warn,
            "/sys/fs/bpf/ipvlan",
        ),
        (
            |it| it.caller = vec!["CAP_BPF".into()],
            "caller.capabilities",
            Status::Skip,
            "CAP_BPF",
        ),
        (
            |it| it.agents[0].1 = Ok(vec!["CAP_NET_RAW".into()]),
            "agent.capabilities",
            Status::Fail,
            "CAP_NET_RAW",
        ),
    ];
    for (fault, id, status, text) in rows {
        let mut faulty = kernel();
        fault(&mut faulty);
        let checks = judge(&faulty);
        let line = checks.iter().find(|check| check.id == id).unwrap();
        assert_eq!(line.status, status, "{line:?}");
        assert!(line.found.contains(text), "{line:?}");
        assert_eq!(line.why.is_some(), status >= Status::Warn, "{line:?}");
    }
    let mut unread = kernel();
    unread.programs[0].1 = Err(denied());
    unread.tcx = Err(denied());
    unread.pins.1 = Err(denied());
    unread.agents[0].1 = Err(denied());
    let checks = judge(&unread);
    let skipped = checks.iter().filter(|check| check.status == Status::Skip);
    assert_eq!(skipped.count(), 4);
}

#[test]
fn a_directory_that_is_not_there_is_judged_by_the_one_above() {
    assert_eq!(is_on_bpffs(Path::new("/proc/self/no/such")), Ok(false));
}
