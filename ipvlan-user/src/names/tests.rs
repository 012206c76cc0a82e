use std::{
    cell::{Cell, RefCell},
    fs,
    path::PathBuf,
};

use tempfile::TempDir;

use super::*;
use crate::protocol::Word;

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const OTHER: &str = "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff";
const UID: &str = "12345678-9abc-def0-1234-56789abcdef0";
const NSID: i32 = 5;

/// A directory like `/`.
struct Root(TempDir);

impl Root {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    /// A process, its parent, its start and its cgroup.
    fn process(&self, pid: i32, parent: i32, start: u64, cgroup: impl AsRef<[u8]>) {
        let line =
            format!("{pid} (a) b) S {parent} 1 1 0 -1 0 1 2 3 4 5 6 7 8 20 0 1 0 {start} 9 8\n");
        self.write(&format!("proc/{pid}/stat"), line);
        let lines = [b"0::", cgroup.as_ref(), b"\n"].concat();
        self.write(&format!("proc/{pid}/cgroup"), lines);
        self.write(&format!("proc/{pid}/comm"), format!("comm{pid}\n"));
    }

    fn arguments(&self, pid: i32, arguments: &[&str]) {
        let all: Vec<u8> = arguments
            .iter()
            .flat_map(|it| it.bytes().chain([0]))
            .collect();
        self.write(&format!("proc/{pid}/cmdline"), all);
    }

    fn names(&self) -> Names {
        Names::new(self.0.path())
    }

    /// The name of a netns in which these processes were seen, and in which they still are.
    fn name(&self, pids: &[i32]) -> Option<Name> {
        look_up(&self.names(), pids)
    }
}

fn look_up(names: &Names, pids: &[i32]) -> Option<Name> {
    let wanted = BTreeMap::from([(NSID, pids.iter().copied().collect())]);
    names.look_up(&wanted, &mut |_| Some(NSID)).remove(&NSID)
}

/// Runtime, name and pod.
fn shown(name: Option<Name>) -> (Option<Runtime>, Option<String>, Option<String>) {
    let Some(container) = name.and_then(|name| name.container) else {
        return (None, None, None);
    };
    let Word::Known(runtime) = container.runtime else {
        panic!("{container:?}");
    };
    (Some(runtime), container.name, container.pod)
}

#[test]
fn a_container_of_podman_has_the_name_that_its_monitor_has() {
    let payload = format!("/machine.slice/libpod-{ID}.scope/container");
    let monitor = format!("/machine.slice/libpod-conmon-{ID}.scope");
    let arguments = [
        "/usr/bin/conmon",
        "--api-version",
        "1",
        "-c",
        ID,
        "-u",
        ID,
        "-n",
        "db",
    ];
    let podman = |name: Option<&str>| (Some(Runtime::Podman), name.map(str::to_owned), None);

    let root = Root::new();
    root.process(40, 1, 10, &monitor);
    root.arguments(40, &arguments);
    root.process(41, 40, 11, &payload);
    root.process(42, 41, 12, &payload);
    let found = root.name(&[41]).unwrap();
    assert_eq!((found.pid, found.comm.as_deref()), (41, Some("comm41")));
    let container = found.container.clone().unwrap();
    assert_eq!(container.id.as_deref(), Some(ID));
    assert_eq!(shown(Some(found)), podman(Some("db")));
    // By a descendant.
    assert_eq!(shown(root.name(&[42])), podman(Some("db")));

    // Monitors of another container, without a name, gone.
    root.arguments(40, &["conmon", "-c", OTHER, "-n", "db"]);
    assert_eq!(shown(root.name(&[41])), podman(None));
    for cut in [&arguments[..7], &arguments[..8], &[]] {
        root.arguments(40, cut);
        assert_eq!(shown(root.name(&[41])), podman(None), "{cut:?}");
    }
    // The last argument is cut.
    root.write("proc/40/cmdline", format!("conmon\0-c\0{ID}\0-n\0d"));
    assert_eq!(shown(root.name(&[41])), podman(None));
    fs::remove_dir_all(root.path("proc/40")).unwrap();
    assert_eq!(shown(root.name(&[41])), podman(None));

    // A process of the container has what arguments it likes: it is no monitor.
    let root = Root::new();
    root.process(41, 1, 11, &payload);
    root.arguments(41, &["conmon", "-c", ID, "-n", "bank"]);
    root.process(42, 41, 12, &payload);
    assert_eq!(shown(root.name(&[42])), podman(None));
}

#[test]
fn a_pod_has_the_name_of_its_directory_of_logs() {
    let root = Root::new();
    let pod = format!(
        "/kubepods.slice/kubepods-pod{}.slice",
        UID.replace('-', "_")
    );
    root.process(41, 1, 11, format!("{pod}/cri-containerd-{ID}.scope"));
    let expected = |name: Option<&str>, pod: Option<&str>| {
        let [name, pod] = [name, pod].map(|text| text.map(str::to_owned));
        (Some(Runtime::Containerd), name, pod)
    };
    assert_eq!(shown(root.name(&[41])), expected(None, None));
    fs::create_dir_all(root.path(&format!("var/log/pods/default_web_{UID}/nginx"))).unwrap();
    fs::create_dir_all(root.path(&format!("var/log/pods/default_other_{OTHER}"))).unwrap();
    assert_eq!(shown(root.name(&[41])), expected(None, Some("default/web")));
    root.write(
        &format!("var/log/containers/web_default_nginx-{ID}.log"),
        "",
    );
    let found = root.name(&[41]).unwrap();
    assert_eq!(
        found.container.clone().unwrap().pod_uid.as_deref(),
        Some(UID)
    );
    assert_eq!(
        shown(Some(found)),
        expected(Some("nginx"), Some("default/web"))
    );
}

#[test]
fn a_container_of_docker_has_a_name_where_its_configuration_may_be_read() {
    let root = Root::new();
    root.process(41, 1, 11, format!("/system.slice/docker-{ID}.scope"));
    let docker = |name: Option<&str>| (Some(Runtime::Docker), name.map(str::to_owned), None);
    assert_eq!(shown(root.name(&[41])), docker(None));
    let config = format!("var/lib/docker/containers/{ID}/config.v2.json");
    let huge = format!(r#"{{"Name": "/web", "Env": "{}"}}"#, "x".repeat(2 << 20));
    for (content, name) in [
        (
            r#"{"ID": "0", "Name": "/web", "Config": {"Env": []}}"#,
            Some("web"),
        ),
        (r#"{"Name": "/\u001b[31m"}"#, Some(r"\u{1b}[31m")),
        (r#"{"Name": "/"}"#, None),
        (r#"{"Name": 7}"#, None),
        (r#"{"Name": "/we"#, None),
        ("", None),
        (&huge, None),
    ] {
        root.write(&config, content);
        assert_eq!(shown(root.name(&[41])), docker(name), "{content:.80}");
    }
}

#[test]
fn the_oldest_process_of_a_container_names_a_netns() {
    let root = Root::new();
    // A shell of an administrator, with the lowest id and the last to start.
    root.process(40, 1, 99, "/user.slice/user-0.slice/session-3.scope");
    root.process(41, 1, 12, "/lxc.payload.young");
    root.process(42, 1, 11, "/lxc.payload.old");
    root.process(43, 1, 10, "/system.slice/a.service");
    let found = |pids: &[i32]| {
        let name = root.name(pids).unwrap();
        (name.pid, name.container.and_then(|it| it.name))
    };
    let named = |pid, name: &str| (pid, Some(name.to_owned()));
    assert_eq!(found(&[40, 41, 42, 43]), named(42, "old"));
    assert_eq!(found(&[40, 41, 43]), named(41, "young"));
    assert_eq!(found(&[40, 43]), named(43, "a.service"));
    assert_eq!(found(&[40]), (40, None));
    assert_eq!(root.name(&[7]), None);
    assert_eq!(root.name(&[]), None);
}

#[test]
fn a_process_that_is_in_another_netns_by_now_names_nothing() {
    let root = Root::new();
    root.process(41, 1, 11, "/lxc.payload.old");
    root.process(42, 1, 12, "/lxc.payload.new");
    let wanted = BTreeMap::from([(5, [41, 42].into_iter().collect()), (6, 41.into())]);
    for (nsids, expected) in [
        ([Some(5), Some(5)], vec![(5, 41)]),
        ([Some(6), Some(5)], vec![(5, 42), (6, 41)]),
        ([None, None], vec![]),
    ] {
        let mut nsid_of = |pid| if pid == 41 { nsids[0] } else { nsids[1] };
        let found = root.names().look_up(&wanted, &mut nsid_of);
        let found: Vec<_> = found.iter().map(|(&nsid, name)| (nsid, name.pid)).collect();
        assert_eq!(found, expected);
    }
}

/// The process ends, and another gets its id, between two reads.
#[test]
fn an_id_that_is_reused_meanwhile_names_nothing() {
    let root = Root::new();
    root.process(41, 1, 11, "/lxc.payload.old");
    let wanted = BTreeMap::from([(NSID, 41.into())]);
    let found = root.names().look_up(&wanted, &mut |_| {
        root.process(41, 1, 12, "/lxc.payload.new");
        Some(NSID)
    });
    assert_eq!(found, BTreeMap::new());
    assert_eq!(shown(root.name(&[41])).1.as_deref(), Some("new"));
}

#[test]
fn a_name_is_kept_as_long_as_its_process_lives() {
    let root = Root::new();
    root.process(41, 1, 11, "/lxc.payload.one");
    let names = root.names();
    let questions = Cell::new(0);
    let ask = |wanted: &BTreeMap<i32, Pids>| {
        let found = names.look_up(wanted, &mut |_| {
            questions.set(questions.get() + 1);
            Some(NSID)
        });
        let name = found
            .get(&NSID)
            .and_then(|name| name.container.clone()?.name);
        (name, questions.take())
    };
    let one = |name: &str| Some(name.to_owned());
    let wanted = BTreeMap::from([(NSID, 41.into())]);
    assert_eq!(ask(&wanted), (one("one"), 1));
    root.process(41, 1, 11, "/lxc.payload.two");
    assert_eq!(ask(&wanted), (one("one"), 0));
    // Another process with this id.
    root.process(41, 1, 12, "/lxc.payload.two");
    assert_eq!(ask(&wanted), (one("two"), 1));
    // Another process of this netns, an id that is free, and one that is no longer wanted.
    root.process(42, 1, 13, "/lxc.payload.three");
    assert_eq!(ask(&BTreeMap::from([(NSID, 42.into())])), (one("three"), 1));
    assert_eq!(ask(&BTreeMap::new()), (None, 0));
    assert_eq!(ask(&BTreeMap::from([(NSID, 42.into())])), (one("three"), 1));
    fs::remove_dir_all(root.path("proc/42")).unwrap();
    assert_eq!(ask(&BTreeMap::from([(NSID, 42.into())])), (None, 0));

    // It is looked up again after a while.
    root.process(41, 1, 12, "/lxc.payload.four");
    assert_eq!(ask(&wanted), (one("four"), 1));
    root.process(41, 1, 12, "/lxc.payload.five");
    names.0.kept.lock().unwrap().get_mut(&NSID).unwrap().until = Instant::now();
    assert_eq!(ask(&wanted), (one("five"), 1));
}

#[test]
fn what_is_kept_is_bounded() {
    let root = Root::new();
    let names = root.names();
    root.process(41, 1, 11, "/lxc.payload.one");
    let most = i32::try_from(MOST).unwrap();
    let wanted: BTreeMap<i32, Pids> = (0..most + 9).map(|nsid| (nsid, 41.into())).collect();
    let nsid = RefCell::new(0..);
    // Each netns is asked for once, in order; those beyond the time of a request are left out.
    let found = names.look_up(&wanted, &mut |_| nsid.borrow_mut().next());
    assert!(!found.is_empty());
    assert_eq!(names.0.kept.lock().unwrap().len(), found.len().min(MOST));
}

#[test]
fn hostile_files_give_shorter_names() {
    let root = Root::new();
    let huge = |byte: u8| vec![byte; 1 << 20];
    root.process(41, 1, 11, "");
    root.write("proc/41/comm", b"\x1b[31m\xff\n");
    let comm = |expected: &str| {
        let name = root.name(&[41]).unwrap();
        assert_eq!(name.comm.as_deref(), Some(expected));
        name.container
    };
    // A line that is cut, one of control characters, no lines.
    let cut = [b"0::/lxc.payload.", &huge(b'x')[..]].concat();
    for lines in [
        cut,
        huge(b'\n'),
        huge(b'\x1b'),
        huge(0xff),
        huge(b'/'),
        Vec::new(),
    ] {
        root.write("proc/41/cgroup", lines);
        assert_eq!(comm(r"\u{1b}[31m\xff"), None);
    }
    // Whole lines before the one that is cut are read.
    let lines = [b"0::/lxc.payload.web\n1:x:/", &huge(b'y')[..]].concat();
    root.write("proc/41/cgroup", lines);
    let container = comm(r"\u{1b}[31m\xff").unwrap();
    assert_eq!(container.name.as_deref(), Some("web"));

    // Arguments of 1 MiB behind those that count, and before them.
    let payload = format!("0::/libpod_parent/libpod-{ID}\n");
    root.write("proc/41/cgroup", payload);
    root.process(40, 1, 10, "/x");
    root.process(41, 40, 11, format!("/libpod_parent/libpod-{ID}"));
    let long = String::from_utf8(huge(b'z')).unwrap();
    root.arguments(40, &["conmon", "-c", ID, "-n", "\u{1b}]0;x\u{7}", &long]);
    let name = |root: &Root| shown(root.name(&[41])).1;
    assert_eq!(name(&root).as_deref(), Some(r"\u{1b}]0;x\u{7}"));
    root.arguments(40, &["conmon", &long, "-c", ID, "-n", "web"]);
    assert_eq!(name(&root), None);

    // Parents without an end, and no file where one should be.
    root.process(41, 41, 11, format!("/libpod_parent/libpod-{ID}"));
    assert_eq!(name(&root), None);
    for file in ["comm", "cgroup"] {
        let path = root.path(&format!("proc/41/{file}"));
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
    }
    let found = root.name(&[41]).unwrap();
    assert_eq!((found.comm, found.container), (None, None));
    root.write("proc/41/stat", huge(b')'));
    assert_eq!(root.name(&[41]), None);
}

/// A thousand netns of this machine's own kernel, each by this process; the limit is wide for a busy machine.
#[test]
fn a_thousand_netns_are_named_in_time() {
    let names = Names::new(Path::new("/"));
    let pid = std::process::id().cast_signed();
    let wanted: BTreeMap<i32, Pids> = (0..1000).map(|nsid| (nsid, pid.into())).collect();
    for round in ["first", "kept"] {
        let nsid = RefCell::new(0..);
        let begun = Instant::now();
        let found = names.look_up(&wanted, &mut |_| nsid.borrow_mut().next());
        let took = begun.elapsed();
        println!("{round}: {} names in {took:?}", found.len());
        assert!(took < 2 * TIME, "{round}: {took:?}");
        assert!(found.values().all(|name| name.comm.is_some()));
    }
}
