use std::time::Duration;

use super::*;
use crate::config::canonical;
use crate::fetch::fake::FakeHttp;
use crate::fetch::hash::{Function, Hash};
use crate::fetch::settings::Settings;
use crate::sys::clock::FakeClock;
use crate::sys::host::FakeHost;
use crate::sys::runner::FakeRunner;

const USER_IGN: &str = "/usr/lib/ignition/user.ign";

struct World {
    files: FakeHost,
    http: FakeHttp,
    remote: Remote,
    stage: Stage,
    /// Settings and trust of the fetcher afterwards
    settings: Option<Settings>,
}

impl World {
    fn new() -> Self {
        Self {
            files: FakeHost::new().file("/proc/cmdline", "quiet\n"),
            http: FakeHttp::default(),
            remote: Remote::Fetch,
            stage: Stage::Fetch,
            settings: None,
        }
    }

    fn file(mut self, path: &str, text: impl Into<Vec<u8>>) -> Self {
        self.files = self.files.file(path, text);
        self
    }

    fn user(config: &str) -> Self {
        Self::new().file(USER_IGN, config)
    }

    fn serve(self, url: &str, text: impl Into<Vec<u8>>) -> Self {
        self.http.serve(url, text);
        self
    }

    fn stage(mut self, stage: Stage) -> Self {
        self.stage = stage;
        self
    }

    fn listing(mut self) -> Self {
        self.remote = Remote::List;
        self
    }

    fn acquire_from(
        &mut self,
        from: From<'_>,
        platform: Option<Platform>,
    ) -> Result<Acquisition, AcquireError> {
        let (clock, runner, environment) = (FakeClock::new(), FakeRunner::new(), Environment::default());
        let settings = Settings::at_start(Duration::from_secs(2));
        let mut fetch = Fetch::new(&self.http, &self.files, &clock, "/oem".into(), settings);
        let input = Input {
            alone: false,
            stage: self.stage,
            from,
            platform,
            remote: self.remote,
            detail: crate::config::origin::Detail::Entries,
            runner: &runner,
            environment: &environment,
        };
        let result = acquire(&input, &mut fetch, &mut None);
        self.settings = Some(fetch.settings.clone());
        result
    }

    fn acquire(&mut self) -> Result<Acquisition, AcquireError> {
        self.acquire_from(From::Provider, Some(Platform::File))
    }

    fn get(&mut self) -> Acquired {
        match self.acquire() {
            Ok(Acquisition::Config(acquired)) => *acquired,
            Ok(other) => panic!("{other:?}"),
            Err(error) => panic!("{}", crate::report::chain(&error)),
        }
    }

    fn error(&mut self) -> String {
        let error = self.acquire().map(|_| ()).unwrap_err();
        format!("{} / {error:?}", crate::report::chain(&error))
    }
}

/// A config with directories, and with what else `ignition` is to hold.
fn config(ignition: &str, paths: &[&str]) -> String {
    let directories: Vec<String> = paths
        .iter()
        .map(|path| format!("{{\"path\":\"{path}\"}}"))
        .collect();
    let comma = if ignition.is_empty() { "" } else { "," };
    format!(
        "{{\"ignition\":{{\"version\":\"3.4.0\"{comma}{ignition}}},\"storage\":{{\"directories\":[{}]}}}}",
        directories.join(",")
    )
}

fn merging(sources: &[&str], paths: &[&str]) -> String {
    let sources: Vec<String> = sources
        .iter()
        .map(|source| format!("{{\"source\":\"{source}\"}}"))
        .collect();
    config(
        &format!("\"config\":{{\"merge\":[{}]}}", sources.join(",")),
        paths,
    )
}

fn replaced_by(source: &str, paths: &[&str]) -> String {
    config(
        &format!("\"config\":{{\"replace\":{{\"source\":\"{source}\"}}}}"),
        paths,
    )
}

fn inline(text: &str) -> String {
    let digits = base64::engine::general_purpose::STANDARD.encode(text);
    format!("data:;base64,{digits}")
}

fn paths(config: &Config) -> Vec<&str> {
    config
        .storage
        .directories
        .iter()
        .map(|directory| directory.path.as_str())
        .collect()
}

fn records(records: &[FetchedConfig]) -> Vec<String> {
    records
        .iter()
        .map(|record| format!("{} {} {}", record.kind.name(), record.source, record.referenced))
        .collect()
}

#[test]
fn the_first_provider_that_has_something_counts() {
    let world = || World::new().file("config.ign", config("", &["/platform"]));
    let acquired = world().get();
    assert_eq!(paths(&acquired.config), ["/platform"]);
    assert_eq!(
        records(&acquired.records),
        ["base system false", "user file false"]
    );

    let world = || world().file("/etc/ignition/user.ign", config("", &["/user"]));
    let acquired = world().get();
    assert_eq!(paths(&acquired.config), ["/user"]);
    assert_eq!(
        records(&acquired.records),
        ["base system false", "user system false"]
    );

    let url = inline(&config("", &["/cmdline"]));
    let acquired = world()
        .file("/proc/cmdline", format!("flatcar.config.url={url}"))
        .get();
    assert_eq!(paths(&acquired.config), ["/cmdline"]);
    assert_eq!(
        records(&acquired.records),
        ["base system false", "user cmdline false"]
    );
}

#[test]
fn an_error_of_the_first_provider_is_final() {
    let world = || World::new().file("config.ign", config("", &["/platform"]));
    assert!(world().file(USER_IGN, "{").error().contains("user.ign"));
    let mut world = world().file("/proc/cmdline", "ignition.config.url=http://u:canary@h/x?canary");
    world.http.answer(404, b"");
    let error = world.error();
    assert!(error.contains("http://h/x"), "{error}");
    assert!(!error.contains("canary"), "{error}");
    let mut without = World::new();
    without.files = FakeHost::new();
    assert!(without.error().contains("/proc/cmdline"));
    assert!(World::new().error().contains("IGNITION_CONFIG_FILE"));
    let nothing = World::new().acquire_from(From::Provider, None);
    assert!(matches!(nothing, Err(AcquireError::NoProvider)));
    let not_built = World::new()
        .acquire_from(From::Provider, Some(Platform::Aws))
        .unwrap_err();
    assert!(crate::report::chain(&not_built).contains("aws is not built yet"));
}

#[test]
fn no_config_and_what_is_meant_for_others_is_the_empty_config() {
    for text in ["", "#cloud-config\n", "#!/bin/sh\n"] {
        let mut world = World::user(text).file("config.ign", config("", &["/platform"]));
        let acquired = world.get();
        assert_eq!(acquired.config, empty(), "{text}");
        assert_eq!(records(&acquired.records), ["base system false"]);
    }
    assert_eq!(empty().ignition.version, "3.7.0-experimental");
}

#[test]
fn base_fragments_count_in_every_stage_and_stay_out_of_the_config() {
    let user = || World::user(&config("", &["/user"])).file("/etc/ignition/base.d/x", config("", &["/base"]));
    let acquired = user().get();
    assert_eq!(paths(&acquired.config), ["/user"]);
    assert_eq!(paths(&acquired.full()), ["/base", "/user"]);
    let cached = canonical::to_json(&acquired.config).unwrap();
    let mut later = user().file("/run/ignition.json", cached).stage(Stage::Files);
    let from = From::Cache(Path::new("/run/ignition.json"));
    let Ok(Acquisition::Config(later)) = later.acquire_from(from, Some(Platform::Metal)) else {
        panic!("no config");
    };
    assert_eq!(later.full(), acquired.full());
    assert_eq!(records(&later.records), ["base system false"]);
    assert!(
        World::user("")
            .file("/etc/ignition/base.d/x", "{")
            .error()
            .contains("/etc/ignition/base.d/x")
    );
}

#[test]
fn merging_goes_in_order_and_depth_first() {
    let inner = merging(&[&inline(&config("", &["/c"]))], &["/b"]);
    let outer = merging(&[&inline(&inner), "http://h/d.ign?q=1"], &["/a"]);
    let mut world = World::user(&outer).serve("http://h/d.ign?q=1", config("", &["/d"]));
    let acquired = world.get();
    assert_eq!(paths(&acquired.config), ["/a", "/b", "/c", "/d"]);
    assert_eq!(
        records(&acquired.records),
        [
            "base system false",
            "user system false",
            "user  true",
            "user  true",
            "user /d.ign true"
        ]
    );
    let at = |index| {
        let pointer = Pointer::root().key("storage").key("directories").index(index);
        acquired
            .origins
            .lookup(&acquired.config, &pointer)
            .map(|(name, _)| name.to_owned())
    };
    assert_eq!(at(0).unwrap(), USER_IGN);
    assert!(at(3).unwrap().starts_with("http://h/d.ign"), "{:?}", at(3));
}

#[test]
fn replacing_discards_the_config_and_what_it_merges() {
    let new = inline(&config("", &["/new"]));
    let text = format!(
        "\"config\":{{\"replace\":{{\"source\":\"{new}\"}},\"merge\":[{{\"source\":\"http://h/never\"}}]}}"
    );
    let acquired = World::user(&config(&text, &["/old"])).get();
    assert_eq!(paths(&acquired.config), ["/new"]);
}

#[test]
fn a_reference_to_nothing_empties_everything() {
    for source in ["", "data:,", "data:,%23%21/bin/sh"] {
        let acquired = World::user(&replaced_by(source, &["/old"])).get();
        assert_eq!(acquired.config, empty(), "replace {source:?}");
        assert_eq!(
            records(&acquired.records),
            ["base system false", "user system false"]
        );
    }
    let acquired = World::user(&merging(&["data:,"], &["/old"])).get();
    assert_eq!(acquired.config, empty(), "merge");
}

#[test]
fn what_is_wrong_with_a_reference_names_document_and_place() {
    let mut world = World::user(&merging(&["data:,%7B%7D"], &[]));
    assert!(world.error().contains("is no config"), "{}", world.error());
    let mut world = World::user(&merging(&["http://u:canary@h/x?canary"], &[]));
    world.http.answer(404, b"");
    let error = world.error();
    assert!(
        error.contains(USER_IGN) && error.contains("ignition.config.merge[0]"),
        "{error}"
    );
    assert!(!error.contains("canary"), "{error}");
}

#[test]
fn configs_that_refer_to_themselves_end() {
    let mut world =
        World::user(&merging(&["oem:///self"], &[])).file("/oem/self", merging(&["oem:///self"], &[]));
    assert!(world.error().contains("does one refer to itself"));
    let mut world =
        World::user(&replaced_by("oem:///self", &[])).file("/oem/self", replaced_by("oem:///self", &[]));
    assert!(world.error().contains("does one refer to itself"));
    // Two references each: the depth alone would not end it.
    let leaf = |index: usize| inline(&config("", &[&format!("/leaf{index}")]));
    let leaves: Vec<String> = (0..=super::super::render::MOST).map(leaf).collect();
    let leaves: Vec<&str> = leaves.iter().map(String::as_str).collect();
    let acquired = World::user(&merging(&leaves[1..], &[])).get();
    assert_eq!(paths(&acquired.config).len(), super::super::render::MOST);
    assert!(
        World::user(&merging(&leaves, &[]))
            .error()
            .contains("more than 1000")
    );
}

#[test]
fn hashes_of_references_are_those_of_contents_in_lower_case() {
    let new = config("", &["/new"]);
    let packed = crate::fetch::gunzip::tests::gzip(new.as_bytes());
    let digits = base64::engine::general_purpose::STANDARD.encode(packed);
    let text = |hash: &str| {
        config(
            &format!(
                "\"config\":{{\"merge\":[{{\"source\":\"data:;base64,{digits}\",\"compression\":\"gzip\",\
                 \"verification\":{{\"hash\":\"{hash}\"}}}}]}}"
            ),
            &[],
        )
    };
    let right = Hash::of(Function::Sha512, new.as_bytes()).to_string();
    assert_eq!(paths(&World::user(&text(&right)).get().config), ["/new"]);
    let upper = right.to_uppercase().replace("SHA", "sha");
    assert!(World::user(&text(&upper)).error().contains("lower case"));
    let wrong = Hash::of(Function::Sha256, b"other").to_string();
    let error = World::user(&text(&wrong)).error();
    assert!(error.contains(&wrong), "{error}");
}

#[test]
fn offline_a_remote_config_needs_the_net_and_a_remote_file_only_says_so() {
    let offline = |world: World| world.stage(Stage::FetchOffline);
    for text in [merging(&["http://h/x"], &[]), replaced_by("oem:///x", &[])] {
        let Ok(Acquisition::NeedNet { records: got }) = offline(World::user(&text)).acquire() else {
            panic!("{text}");
        };
        assert_eq!(records(&got), ["base system false", "user system false"]);
    }
    let line = "ignition.config.url=http://h/x";
    let Ok(Acquisition::NeedNet { records: got }) =
        offline(World::new().file("/proc/cmdline", line)).acquire()
    else {
        panic!("cmdline");
    };
    assert_eq!(records(&got), ["base system false"]);
    let authority = "\"security\":{\"tls\":{\"certificateAuthorities\":[{\"source\":\"http://h/ca\"}]}}";
    let got = offline(World::user(&config(authority, &[]))).acquire();
    assert!(matches!(got, Ok(Acquisition::NeedNet { .. })));

    let remote = |source: &str| {
        format!(
            "{{\"ignition\":{{\"version\":\"3.4.0\"}},\"storage\":{{\"files\":[{{\"path\":\"/f\",\
             \"contents\":{{\"source\":\"{source}\"}}}}]}}}}"
        )
    };
    assert!(offline(World::user(&remote("http://h/x"))).get().need_net);
    assert!(offline(World::user(&remote("oem:///x"))).get().need_net);
    assert!(!offline(World::user(&remote("data:,x"))).get().need_net);
    // The base config counts too; in other stages nobody asks.
    assert!(
        offline(World::user("").file("/etc/ignition/base.d/x", remote("http://h/x")))
            .get()
            .need_net
    );
    assert!(!World::user(&remote("http://h/x")).get().need_net);
}

#[test]
fn a_dry_run_lists_what_it_does_not_fetch() {
    let hash = Hash::of(Function::Sha256, b"").to_string();
    let text = format!(
        "\"config\":{{\"merge\":[{{\"source\":\"http://u:canary@h/x?canary=canary\",\"verification\":{{\"hash\":\"{hash}\"}}}},\
         {{\"source\":\"{}\"}}]}},\"security\":{{\"tls\":{{\"certificateAuthorities\":[{{\"source\":\"https://h/ca\"}}]}}}}",
        inline(&config("", &["/local"]))
    );
    let mut world = World::user(&config(&text, &["/user"])).listing();
    let acquired = world.get();
    assert_eq!(paths(&acquired.config), ["/user", "/local"]);
    let listed: Vec<_> = acquired
        .unfetched
        .iter()
        .map(|left| (left.pointer.to_string(), left.hash.is_some()))
        .collect();
    let want = [
        ("ignition.config.merge[0]".to_owned(), true),
        (
            "ignition.security.tls.certificateAuthorities[0]".to_owned(),
            false,
        ),
    ];
    assert_eq!(listed, want);
    assert!(
        !format!("{:?}", acquired.unfetched).contains(":canary"),
        "{:?}",
        acquired.unfetched
    );
    assert!(world.http.requests().is_empty());

    let acquired = World::user(&replaced_by("http://h/x", &["/user"]))
        .listing()
        .get();
    assert_eq!(acquired.config, empty());
    assert_eq!(
        acquired.unfetched[0].pointer.to_string(),
        "ignition.config.replace"
    );

    let line = "ignition.config.url=http://h/x";
    let acquired = World::new().file("/proc/cmdline", line).listing().get();
    assert_eq!(acquired.config, empty());
    assert_eq!(acquired.unfetched[0].url, "http://h/x");

    // Without the network there is no choice to make.
    let mut world = World::user(&merging(&["http://h/x"], &[]))
        .listing()
        .stage(Stage::FetchOffline);
    assert!(matches!(world.acquire(), Ok(Acquisition::NeedNet { .. })));
}

#[test]
fn a_named_file_must_be_a_config() {
    let get = |world: &mut World| world.acquire_from(From::File(Path::new("my.ign")), None);
    let new = inline(&config("", &["/new"]));
    let mut world = World::user("{")
        .stage(Stage::Files)
        .file("my.ign", merging(&[&new], &["/mine"]));
    let Ok(Acquisition::Config(acquired)) = get(&mut world) else {
        panic!("no config");
    };
    assert_eq!(paths(&acquired.config), ["/mine", "/new"]);
    for text in ["", "#cloud-config\n", "{"] {
        let error = get(&mut World::new().file("my.ign", text)).unwrap_err();
        assert!(matches!(error, AcquireError::Parse { .. }), "{text}: {error}");
    }
    assert!(matches!(get(&mut World::new()), Err(AcquireError::File { .. })));
}

fn authority() -> rcgen::CertifiedKey<rcgen::KeyPair> {
    rcgen::generate_simple_self_signed(vec!["ca".to_owned()]).unwrap()
}

#[test]
fn authorities_are_put_into_the_config() {
    let certificate = authority().cert;
    let text = "\"security\":{\"tls\":{\"certificateAuthorities\":[{\"source\":\"http://h/ca.pem\",\
                \"httpHeaders\":[{\"name\":\"X\",\"value\":\"y\"}],\"compression\":\"gzip\"}]}}";
    let packed = crate::fetch::gunzip::tests::gzip(certificate.pem().as_bytes());
    let mut world = World::user(&config(text, &[])).serve("http://h/ca.pem", packed);
    let acquired = world.get();
    let authorities = &acquired.config.ignition.security.tls.certificate_authorities;
    let want = Resource {
        source: Some(inline(&certificate.pem()).into()),
        ..Resource::default()
    };
    assert_eq!(*authorities, [want]);
    assert_eq!(world.http.requests().len(), 1);
    assert_eq!(world.settings.unwrap().trust.extra, [certificate.der().to_vec()]);

    // A later stage takes them from the cache, without the network.
    let cached = canonical::to_json(&acquired.config).unwrap();
    let mut later = World::new()
        .file("/run/ignition.json", cached)
        .stage(Stage::Files);
    let from = From::Cache(Path::new("/run/ignition.json"));
    assert!(later.acquire_from(from, Some(Platform::Metal)).is_ok());
    assert_eq!(later.settings.unwrap().trust.extra, [certificate.der().to_vec()]);
}

#[test]
fn what_a_config_says_about_fetching_counts_for_what_it_refers_to() {
    let timeouts =
        |seconds: u32, rest: &str| format!("\"timeouts\":{{\"httpResponseHeaders\":{seconds}}}{rest}");
    let refers = ",\"config\":{\"merge\":[{\"source\":\"http://h/two\"},{\"source\":\"http://h/five\"}]}";
    let mut world = World::user(&config(&timeouts(1, refers), &[]))
        .serve("http://h/two", merging(&["http://h/three"], &[]))
        .serve(
            "http://h/three",
            config(
                &timeouts(3, ",\"config\":{\"merge\":[{\"source\":\"http://h/four\"}]}"),
                &[],
            ),
        )
        .serve("http://h/four", config("", &[]))
        .serve("http://h/five", config("", &[]));
    world.get();
    let seen: Vec<_> = world
        .http
        .requests()
        .iter()
        .map(|request| {
            (
                request.url.reveal().to_owned(),
                request.header_timeout.map(|time| time.as_secs()),
            )
        })
        .collect();
    let want = [
        ("http://h/two", Some(1)),
        ("http://h/three", Some(1)),
        ("http://h/four", Some(3)),
        // What was set last stays after a nested rendering.
        ("http://h/five", Some(3)),
    ];
    assert_eq!(seen, want.map(|(url, seconds)| (url.to_owned(), seconds)));
    assert_eq!(world.settings.unwrap().headers, Some(Duration::from_secs(3)));

    // A replacement counts alone: the budget of the first fetch is the flag's, then there is none.
    let mut world = World::user(&config(
        &timeouts(1, ",\"config\":{\"replace\":{\"source\":\"http://h/new\"}}"),
        &[],
    ))
    .serve("http://h/new", merging(&["http://h/more"], &[]))
    .serve("http://h/more", config("", &[]));
    world.get();
    let seen: Vec<_> = world
        .http
        .requests()
        .iter()
        .map(|request| request.header_timeout.map(|time| time.as_secs()))
        .collect();
    assert_eq!(seen, [Some(1), Some(10)]);
}

#[test]
fn the_flags_budget_counts_until_a_config_is_known() {
    let mut world = World::new()
        .file("/proc/cmdline", "ignition.config.url=http://h/one")
        .serve("http://h/one", merging(&["http://h/two"], &[]))
        .serve("http://h/two", config("", &[]));
    world.get();
    let seen: Vec<_> = world
        .http
        .requests()
        .iter()
        .map(|request| request.budget.is_some())
        .collect();
    assert_eq!(seen, [true, false]);
}

#[test]
fn two_good_configs_may_be_a_bad_one() {
    let disk = |number: u32, start: u32, refers: &str| {
        format!(
            "{{\"ignition\":{{\"version\":\"3.4.0\"{refers}}},\"storage\":{{\"disks\":[{{\"device\":\"/dev/vda\",\
             \"partitions\":[{{\"number\":{number},\"label\":\"p{number}\",\"startMiB\":{start},\"sizeMiB\":100}}]}}]}}}}"
        )
    };
    let child = inline(&disk(2, 50, ""));
    let parent = disk(
        1,
        1,
        &format!(",\"config\":{{\"merge\":[{{\"source\":\"{child}\"}}]}}"),
    );
    let error = World::user(&parent).error();
    assert!(
        error.contains("not valid") && error.contains("overlap"),
        "{error}"
    );
    assert!(error.contains("line 1 col"), "{error}");
}
