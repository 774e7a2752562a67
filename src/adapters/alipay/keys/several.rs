//! Several public keys in one text: while Alipay's key is exchanged, the old and the new one.

use crate::adapters::alipay::keys::{KeyError, PublicKey};

/// The most keys that one text may hold; an exchange needs two.
const KEYS_MAX: usize = 4;

const BEGIN: &str = "-----BEGIN ";

impl PublicKey {
    /// Reads one public key, or several one after the other: PEM blocks, or bare base64 with
    /// each key on a line of its own or with an empty line between them. Equal keys count once.
    ///
    /// # Errors
    ///
    /// [`KeyError`] as [`PublicKey::parse`] gives it, for the first key that is none, and
    /// [`KeyError::Several`] for more than four.
    pub fn parse_several(text: &str) -> Result<Vec<Self>, KeyError> {
        let parts = match text.matches(BEGIN).count() {
            0 | 1 => match Self::parse(text) {
                Ok(key) => return Ok(vec![key]),
                Err(fault) => bare(text).ok_or(fault)?,
            },
            _ => blocks(text),
        };
        if parts.len() > KEYS_MAX {
            return Err(KeyError::Several { keys_max: KEYS_MAX });
        }
        let mut keys = Vec::new();
        for part in parts {
            let key = Self::parse(part)?;
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        Ok(keys)
    }
}

/// Cuts before each `BEGIN`; what stands before the first is no key.
fn blocks(text: &str) -> Vec<&str> {
    let starts: Vec<usize> = text.match_indices(BEGIN).map(|(at, _)| at).collect();
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    starts
        .iter()
        .zip(ends)
        .filter_map(|(&start, end)| text.get(start..end))
        .collect()
}

/// Cuts at empty lines, or else at every line, if each piece is a key by itself; one key may be
/// spread over many lines.
fn bare(text: &str) -> Option<Vec<&str>> {
    let by_line: Vec<&str> = text.lines().map(str::trim).collect();
    let mut paragraphs = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let end = rest.match_indices('\n').map(|(at, _)| at).find(|&at| {
            rest[at + 1..]
                .lines()
                .next()
                .is_some_and(|line| line.trim().is_empty())
        });
        let (piece, after) = rest.split_at(end.unwrap_or(rest.len()));
        paragraphs.push(piece);
        rest = after.trim_start();
    }
    let lines = by_line
        .into_iter()
        .filter(|line| !line.is_empty())
        .collect();
    [paragraphs, lines].into_iter().find(|pieces| {
        (2..=KEYS_MAX + 1).contains(&pieces.len())
            && pieces.iter().all(|piece| PublicKey::parse(piece).is_ok())
    })
}

#[cfg(test)]
mod tests {
    use crate::adapters::alipay::keys::{KeyError, PrivateKey, PublicKey};

    fn key() -> PublicKey {
        PrivateKey::generate().unwrap().public_key()
    }

    fn bare(key: &PublicKey) -> String {
        let pem = key.to_spki_pem();
        pem.lines().filter(|line| !line.starts_with('-')).collect()
    }

    #[test]
    fn several_keys_are_read_from_one_text() {
        let (old, new) = (key(), key());
        let [old_pem, new_pem] = [&old, &new].map(PublicKey::to_spki_pem);
        let [old_line, new_line] = [&old, &new].map(bare);
        let wrapped = |pem: &str| {
            let lines: Vec<&str> = pem.lines().filter(|line| !line.starts_with('-')).collect();
            lines.join("\r\n")
        };
        let one = vec![old.clone()];
        let both = vec![old.clone(), new.clone()];
        for (text, keys) in [
            (old_pem.clone(), &one),
            (old_line.clone(), &one),
            (wrapped(&old_pem), &one),
            (format!("{old_pem}{old_pem}"), &one),
            (format!("{old_pem}{new_pem}"), &both),
            (format!("old:\n{old_pem}\r\nnew:\n{new_pem}"), &both),
            (format!("{old_line}\n{new_line}"), &both),
            (format!("{old_line}\r\n{new_line}\r\n"), &both),
            (
                format!("{}\n \n{}\n", wrapped(&old_pem), wrapped(&new_pem)),
                &both,
            ),
        ] {
            assert_eq!(PublicKey::parse_several(&text).as_ref(), Ok(keys), "{text}");
        }
    }

    #[test]
    fn a_text_with_anything_but_keys_is_refused() {
        let pem = key().to_spki_pem();
        let private = PrivateKey::generate().unwrap().to_pkcs8_pem();
        let two = format!("{pem}{}", &*private);
        assert!(matches!(
            PublicKey::parse_several(&two),
            Err(KeyError::Misplaced { .. })
        ));
        assert_eq!(PublicKey::parse_several(" \n"), Err(KeyError::Empty));
        let line = bare(&key());
        let cut = format!("{line}\n{}", &line[..100]);
        assert_eq!(PublicKey::parse_several(&cut), Err(KeyError::Unrecognised));
        let five: String = (0..5).map(|_| key().to_spki_pem()).collect();
        assert_eq!(
            PublicKey::parse_several(&five),
            Err(KeyError::Several { keys_max: 4 })
        );
    }
}
