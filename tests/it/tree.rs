//! The files of this repository, for the tests that read them.

use std::path::{Path, PathBuf};
use std::{fs, io};

/// One text file: where it is, relative to the repository and with `/`, and what is in it.
pub(crate) struct TextFile {
    pub(crate) path: String,
    pub(crate) text: String,
}

/// Returns every text file under `folder`, at any depth, in the order of the paths.
///
/// A folder that is not there has no files; a file that is not UTF-8 is not a text file.
pub(crate) fn text_files(folder: &str) -> Vec<TextFile> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    collect(&root.join(folder), &mut paths);
    paths.sort();
    paths
        .into_iter()
        .filter_map(|path| {
            let text = match fs::read_to_string(&path) {
                Ok(text) => text,
                Err(error) if error.kind() == io::ErrorKind::InvalidData => return None,
                Err(error) => panic!("read {}: {error}", path.display()),
            };
            let below_root = path.strip_prefix(root).unwrap();
            Some(TextFile {
                path: below_root.to_str().unwrap().replace('\\', "/"),
                text,
            })
        })
        .collect()
}

fn collect(path: &Path, paths: &mut Vec<PathBuf>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            collect(&entry.unwrap().path(), paths);
        }
    } else if path.is_file() {
        paths.push(path.to_owned());
    }
}
