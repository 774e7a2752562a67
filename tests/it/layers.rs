//! Who may import whom: the picture in ARCHITECTURE.md as a table, and the test that keeps it.
//!
//! It reads the source, not the compiler's mind. Spellings that would hide a path from it are
//! refused, so that it needs not be clever.

mod source;

use crate::tree::{TextFile, text_files};
use source::{Place, Reference, Source};

/// One layer and what it may use.
struct Layer {
    name: &'static str,
    /// Paths below the crate's root; everything below an allowed path is allowed too.
    imports: &'static [&'static [&'static str]],
    crates: Crates,
}

/// Which dependencies a layer may use; the standard library is always allowed.
enum Crates {
    Only(&'static [&'static str]),
    AllBut(&'static [&'static str]),
}

const LAYERS: &[Layer] = &[
    Layer {
        name: "domain",
        imports: &[&["domain"]],
        crates: Crates::Only(&["thiserror"]),
    },
    Layer {
        name: "lifecycle",
        imports: &[&["domain"], &["lifecycle"]],
        crates: Crates::Only(&["thiserror"]),
    },
    Layer {
        name: "ports",
        imports: &[&["domain"], &["ports"]],
        crates: Crates::AllBut(&[
            "anyhow",
            "backoff",
            "clap",
            "lapin",
            "prometheus",
            "redis",
            "reqwest",
        ]),
    },
    // An adapter may also import itself, see `own_parts`; never another one, never the clock.
    Layer {
        name: "adapters",
        imports: &[&["domain"], &["ports"]],
        crates: Crates::AllBut(&["anyhow", "backoff", "clap", "prometheus", "toml"]),
    },
    Layer {
        name: "pacing",
        imports: &[&["domain"], &["ports"], &["pacing"]],
        crates: Crates::AllBut(&[
            "anyhow",
            "backoff",
            "clap",
            "lapin",
            "prometheus",
            "redis",
            "reqwest",
        ]),
    },
    Layer {
        name: "app",
        imports: &[
            &["domain"],
            &["lifecycle"],
            &["ports"],
            &["adapters"],
            &["pacing"],
            &["app"],
        ],
        crates: Crates::AllBut(&[
            "backoff",
            "clap",
            "comfy_table",
            "indicatif",
            "lapin",
            "redis",
            "reqwest",
        ]),
    },
    Layer {
        name: "sandbox",
        imports: &[
            &["domain"],
            &["sandbox"],
            &["adapters", "alipay", "certificates"],
            &["adapters", "alipay", "content_key"],
            &["adapters", "alipay", "keys"],
            &["adapters", "alipay", "sign"],
            &["adapters", "alipay", "wire"],
        ],
        crates: Crates::AllBut(&[
            "anyhow",
            "backoff",
            "clap",
            "lapin",
            "prometheus",
            "redis",
            "reqwest",
        ]),
    },
    Layer {
        name: "cli",
        imports: &[&["domain"], &["app"], &["sandbox"], &["cli"]],
        crates: Crates::AllBut(&["backoff", "lapin", "prometheus", "redis"]),
    },
];

/// The binary: it hands its arguments to the command line and installs the TLS provider.
const BINARY: Layer = Layer {
    name: "main",
    imports: &[&["cli"]],
    crates: Crates::Only(&["rustls", "tikv_jemallocator"]),
};

/// The simulation: the real worker over ports of its own.
const SIMULATION: Layer = Layer {
    name: "simulation",
    imports: &[
        &["domain"],
        &["lifecycle"],
        &["ports"],
        &["pacing"],
        &["app"],
    ],
    crates: Crates::AllBut(&["lapin", "redis", "reqwest"]),
};

/// Layers whose code runs to its end at once: whoever calls it needs no runtime.
const WITHOUT_ASYNC: [&str; 2] = ["domain", "lifecycle"];

/// A dependency that one file may use although its layer may not.
const EXCEPTIONS: [(&str, &str); 2] = [
    ("src/lifecycle/retry.rs", "backoff"),
    ("src/sandbox/notices/post.rs", "reqwest"),
];

/// Returns what is wrong with the imports of `file`, one line per finding.
fn check(file: &TextFile, dependencies: &[String]) -> Vec<String> {
    let source = Source::read(&file.text);
    let module = module_of(&file.path);
    let mut findings = Vec::new();
    let mut find =
        |line: usize, what: String| findings.push(format!("{}:{line}: {what}", file.path));

    for (line, what) in &source.hidden {
        find(*line, format!("{what} would hide a path from this test"));
    }
    if !source.hidden.is_empty() {
        return findings;
    }
    let (layer, root) = match module.first().map(String::as_str) {
        None => {
            for (line, name) in source.modules {
                if LAYERS.iter().all(|layer| layer.name != name) {
                    find(line, format!("module `{name}` is no layer"));
                }
            }
            return findings;
        }
        Some("main") => (&BINARY, "hongbaod"),
        Some("simulation") => (&SIMULATION, "hongbaod"),
        Some(name) => match LAYERS.iter().find(|layer| layer.name == name) {
            Some(layer) => (layer, "crate"),
            None => {
                find(1, format!("module `{name}` is no layer"));
                return findings;
            }
        },
    };
    if WITHOUT_ASYNC.contains(&layer.name) {
        for line in source.asynchronous {
            find(line, format!("{} is not asynchronous", layer.name));
        }
    }
    for reference in &source.references {
        let spelled = reference.segments.join("::");
        if let Some(path) = inside(reference, &module, root) {
            if !allowed(layer, &module, &path, place_of(&file.path, reference)) {
                find(
                    reference.line,
                    format!("{} may not import `{spelled}`", layer.name),
                );
            }
        } else if is_banned(layer, &file.path, &reference.segments[0], dependencies) {
            find(
                reference.line,
                format!("{} may not use the crate in `{spelled}`", layer.name),
            );
        }
    }
    findings
}

/// The module of a file: empty for `src/lib.rs`, `["adapters", "alipay"]` for `src/adapters/alipay.rs`.
fn module_of(path: &str) -> Vec<String> {
    if path.starts_with("tests/it/sim") {
        return vec!["simulation".to_owned()];
    }
    let path = path.trim_start_matches("src/").trim_end_matches(".rs");
    if path == "lib" {
        return Vec::new();
    }
    path.split('/').map(str::to_owned).collect()
}

/// The path below the crate's root that `reference` means; `None` if it leads out of the crate.
fn inside(reference: &Reference, module: &[String], root: &str) -> Option<Vec<String>> {
    let (first, rest) = reference.segments.split_first()?;
    if first == root {
        return Some(rest.to_vec());
    }
    // Only the library's own files lie in the tree of modules that the table speaks of.
    if root != "crate" {
        return None;
    }
    let mut path: Vec<_> = module
        .iter()
        .chain(&reference.inline_modules)
        .cloned()
        .collect();
    match first.as_str() {
        "self" => {}
        "super" => {
            path.pop();
        }
        _ => return None,
    }
    path.extend_from_slice(rest);
    Some(path)
}

fn place_of(path: &str, reference: &Reference) -> Place {
    if path.ends_with("/tests.rs") || path.contains("/tests/") {
        Place::Tests
    } else {
        reference.place
    }
}

fn allowed(layer: &Layer, module: &[String], path: &[String], place: Place) -> bool {
    let starts_with =
        |start: &[&str]| path.len() >= start.len() && start.iter().zip(path).all(|(a, b)| a == b);
    path.starts_with(own_parts(module, place))
        || layer.imports.iter().any(|start| starts_with(start))
}

/// The part of the tree that a module may use without asking: its own adapter for an adapter,
/// for the tests of any layer that layer; the table grants the rest.
fn own_parts(module: &[String], place: Place) -> &[String] {
    match place {
        Place::Tests => &module[..1],
        Place::Product => &module[..module.len().min(2)],
    }
}

fn is_banned(layer: &Layer, path: &str, name: &str, dependencies: &[String]) -> bool {
    let banned = match layer.crates {
        Crates::Only(names) => !names.contains(&name),
        Crates::AllBut(names) => names.contains(&name),
    };
    banned
        && dependencies.iter().any(|dependency| dependency == name)
        && !EXCEPTIONS.contains(&(path, name))
}

/// The crates in Cargo.toml, spelled as Rust spells them; those for tests alone need no rule.
fn dependencies() -> Vec<String> {
    let manifest = text_files("Cargo.toml").pop().unwrap().text;
    let manifest: toml::Table = manifest.parse().unwrap();
    manifest["dependencies"]
        .as_table()
        .unwrap()
        .keys()
        .map(|name| name.replace('-', "_"))
        .collect()
}

#[test]
fn every_import_follows_the_layers() {
    let dependencies = dependencies();
    let findings: Vec<_> = ["src", "tests/it/sim.rs", "tests/it/sim"]
        .iter()
        .flat_map(|folder| text_files(folder))
        .filter(|file| file.path.ends_with(".rs"))
        .flat_map(|file| check(&file, &dependencies))
        .collect();
    assert_eq!(
        findings, [""; 0],
        "see \"Who may import whom\" in ARCHITECTURE.md"
    );
}

#[test]
fn the_dependencies_are_read_from_the_manifest() {
    let dependencies = dependencies();
    for name in ["backoff", "lapin", "tracing_subscriber"] {
        assert!(
            dependencies.iter().any(|dependency| dependency == name),
            "{name}"
        );
    }
}

/// A refused sample has exactly one finding, with the words of its verdict: a rule that stops
/// working is seen here.
#[test]
fn each_sample_is_judged_as_it_is_marked() {
    let samples: Vec<_> = include_str!("layers/samples.txt")
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect();
    for sample in &samples {
        let mut columns = sample.splitn(3, '|').map(str::trim);
        let mut column = || columns.next().expect("a sample has three columns");
        let (verdict, path, text) = (column(), column(), column().replace('⏎', "\n"));
        let findings = check_text(path, &text);
        match verdict {
            "passes" => assert_eq!(findings, [""; 0], "{sample}"),
            words => assert!(
                findings.len() == 1 && findings[0].contains(words),
                "{sample}: {findings:?}"
            ),
        }
    }
    assert!(
        samples.len() > 60,
        "only {} samples were read",
        samples.len()
    );
}

#[test]
fn a_finding_names_the_line() {
    let findings = check_text(
        "src/domain.rs",
        "//! Doc\n\nuse crate::domain::{\n    job,\n};\nuse crate::app;\n",
    );
    assert_eq!(
        findings,
        ["src/domain.rs:6: domain may not import `crate::app`"]
    );
}

fn check_text(path: &str, text: &str) -> Vec<String> {
    let file = TextFile {
        path: path.to_owned(),
        text: text.to_owned(),
    };
    check(&file, &dependencies())
}
