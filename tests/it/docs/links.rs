//! Links between the pages lead somewhere.

use std::path::Path;

use crate::tree::{TextFile, text_files};

fn pages() -> Vec<TextFile> {
    let top = [
        "README.md",
        "README.zh-CN.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
    ];
    let folders = top.into_iter().chain(["docs"]);
    let files = folders.flat_map(text_files);
    files.filter(|file| file.path.ends_with(".md")).collect()
}

/// What GitHub makes of a heading: lower case, blanks to dashes, punctuation dropped.
pub(super) fn anchor(heading: &str) -> String {
    let heading = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = heading.chars().filter_map(|c| match c {
        ' ' => Some('-'),
        c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c),
        _ => None,
    });
    kept.collect()
}

fn anchors(page: &str) -> Vec<String> {
    let headings = page.lines().filter(|line| line.starts_with('#'));
    headings.map(anchor).collect()
}

/// The targets of `[text](target)`, but for those elsewhere.
fn links(page: &str) -> impl Iterator<Item = &str> {
    let targets = page.split("](").skip(1);
    targets
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target)
        .filter(|target| !target.starts_with("http"))
}

#[test]
fn every_link_between_the_pages_leads_to_a_file_and_a_heading() {
    let pages = pages();
    let mut followed = 0;
    for page in &pages {
        let folder = page.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        for link in links(&page.text) {
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let path = match (file, folder) {
                ("", _) => page.path.clone(),
                (file, "") => file.to_owned(),
                (file, folder) => format!("{folder}/{file}"),
            };
            if path.ends_with(".png") {
                let image = Path::new(env!("CARGO_MANIFEST_DIR")).join(&path);
                assert!(image.is_file(), "{}: {link}", page.path);
                continue;
            }
            let target = text_files(&path);
            assert_eq!(target.len(), 1, "{}: {link}", page.path);
            let known =
                heading.is_empty() || anchors(&target[0].text).contains(&heading.to_owned());
            assert!(known, "{}: {link}", page.path);
            followed += 1;
        }
    }
    assert!(followed > 20, "{followed}");
}
