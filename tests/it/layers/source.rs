//! Finds the paths in Rust source, well enough for the import rules: no types, no macros expanded.

/// A word or a mark of the source, with comments and the insides of strings left out.
struct Token<'a> {
    text: &'a str,
    line: usize,
}

/// One path as the source spells it, with groups taken apart: `a::{b, c}` is two of them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reference {
    pub(crate) line: usize,
    pub(crate) segments: Vec<String>,
    /// The module around it, below that of the file: empty outside inline modules.
    pub(crate) inline_modules: Vec<String>,
    pub(crate) place: Place,
}

/// Whether a part of the source is compiled for tests only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Product,
    Tests,
}

/// What the rules need to know of one file.
#[derive(Debug, Default)]
pub(crate) struct Source {
    pub(crate) references: Vec<Reference>,
    /// Names of the modules that it declares, with their lines.
    pub(crate) modules: Vec<(usize, String)>,
    /// Lines that say `async` or `await`.
    pub(crate) asynchronous: Vec<usize>,
    /// Lines with a spelling that would hide a path from this reader, and which it is.
    pub(crate) hidden: Vec<(usize, &'static str)>,
}

impl Source {
    pub(crate) fn read(text: &str) -> Self {
        let tokens = tokens(text);
        let mut reader = Reader {
            tokens: &tokens,
            at: 0,
            scopes: Vec::new(),
            test_attribute: false,
            source: Self::default(),
        };
        while reader.at < tokens.len() {
            reader.step();
        }
        reader.source
    }
}

/// What an open brace belongs to.
struct Scope {
    module: Option<String>,
    place: Place,
}

struct Reader<'a> {
    tokens: &'a [Token<'a>],
    at: usize,
    scopes: Vec<Scope>,
    /// A `#[cfg(test)]` was read, and the item that it belongs to has not begun.
    test_attribute: bool,
    source: Source,
}

impl Reader<'_> {
    /// The text of the token `ahead` of the current one, empty past either end.
    fn peek(&self, ahead: isize) -> &str {
        self.at
            .checked_add_signed(ahead)
            .and_then(|index| self.tokens.get(index))
            .map_or("", |token| token.text)
    }

    fn starts_with(&self, texts: &[&str]) -> bool {
        (0..)
            .zip(texts)
            .all(|(ahead, text)| self.peek(ahead) == *text)
    }

    fn line(&self) -> usize {
        self.tokens[self.at].line
    }

    fn place(&self) -> Place {
        match self.scopes.last() {
            Some(scope) if !self.test_attribute => scope.place,
            None if !self.test_attribute => Place::Product,
            _ => Place::Tests,
        }
    }

    fn step(&mut self) {
        if self.starts_with(&["#", "[", "path"]) {
            self.source.hidden.push((self.line(), "#[path]"));
        }
        if self.starts_with(&["#", "[", "cfg", "(", "test", ")", "]"]) {
            self.test_attribute = true;
            self.at += 7;
            return;
        }
        match self.peek(0) {
            "{" => self.open(None),
            "}" => {
                self.scopes.pop();
                self.at += 1;
            }
            ";" => {
                self.test_attribute = false;
                self.at += 1;
            }
            "mod" => self.module(),
            // `use<..>` names captured lifetimes and is no import.
            "use" if self.peek(1) != "<" => {
                self.at += 1;
                self.path();
            }
            "extern" if self.peek(1) == "crate" => {
                self.at += 2;
                self.path();
            }
            "async" | "await" => {
                self.source.asynchronous.push(self.line());
                self.at += 1;
            }
            text if is_word(text) && self.peek(1) == "::" && !self.continues_a_path() => {
                self.path();
            }
            _ => self.at += 1,
        }
    }

    /// Whether the current word stands behind `something::`; a bare `::word` begins a path.
    fn continues_a_path(&self) -> bool {
        self.peek(-1) == "::" && (is_word(self.peek(-2)) || self.peek(-2) == ">")
    }

    fn open(&mut self, module: Option<String>) {
        let place = self.place();
        self.test_attribute = false;
        self.scopes.push(Scope { module, place });
        self.at += 1;
    }

    fn module(&mut self) {
        let name = self.peek(1).to_owned();
        if is_word(&name) && matches!(self.peek(2), "{" | ";") {
            self.source.modules.push((self.line(), name.clone()));
            self.at += 2;
            if self.peek(0) == "{" {
                self.open(Some(name));
            }
        } else {
            self.at += 1;
        }
    }

    fn path(&mut self) {
        if self.peek(0) == "::" {
            self.at += 1;
        }
        match (self.peek(0), self.peek(1), self.peek(2)) {
            ("crate" | "hongbaod", "::", "{" | "*") => {
                self.hide("a group or glob at the crate's root")
            }
            ("crate" | "hongbaod" | "super" | "self", "as", _) => self.hide("a renamed root"),
            ("super" | "self", "::", "super") => self.hide("super behind super or self"),
            _ => {}
        }
        self.tree(&mut Vec::new());
    }

    fn hide(&mut self, what: &'static str) {
        let line = self.line();
        self.source.hidden.push((line, what));
    }

    /// Reads one path or use-tree that continues `prefix`, and adds its leaves.
    fn tree(&mut self, prefix: &mut Vec<String>) {
        let depth = prefix.len();
        loop {
            match self.peek(0) {
                "{" => {
                    self.group(prefix);
                    break;
                }
                text if text == "*" || is_word(text) => {
                    prefix.push(text.to_owned());
                    self.at += 1;
                }
                // A turbofish: the path ends, and the types in it are read by themselves.
                _ => {
                    self.leaf(prefix);
                    break;
                }
            }
            if self.peek(0) != "::" {
                self.leaf(prefix);
                break;
            }
            self.at += 1;
        }
        prefix.truncate(depth);
    }

    fn group(&mut self, prefix: &mut Vec<String>) {
        self.at += 1;
        while !matches!(self.peek(0), "}" | "") {
            if self.peek(0) == "," {
                self.at += 1;
            } else {
                let before = self.at;
                self.tree(prefix);
                if self.peek(0) == "as" {
                    self.at += 2;
                }
                // Not a use-tree after all, as it may happen inside a macro: go on behind it.
                self.at = self.at.max(before + 1);
            }
        }
        self.at += 1;
    }

    fn leaf(&mut self, prefix: &[String]) {
        // `use $path;` inside a macro has nothing to read.
        if prefix.is_empty() {
            return;
        }
        let mut segments = prefix.to_vec();
        if segments.len() > 1 && segments.last().is_some_and(|last| last == "self") {
            segments.pop();
        }
        let reference = Reference {
            line: self.tokens[self.at.clamp(1, self.tokens.len()) - 1].line,
            segments,
            inline_modules: self
                .scopes
                .iter()
                .filter_map(|scope| scope.module.clone())
                .collect(),
            place: self.place(),
        };
        self.source.references.push(reference);
    }
}

fn is_word(text: &str) -> bool {
    text.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut line = 1;
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (length, kept) = next_token(rest, first);
        if kept {
            let text = rest[..length].trim_start_matches("r#");
            tokens.push(Token { text, line });
        }
        line += rest[..length].matches('\n').count();
        rest = &rest[length..];
    }
    tokens
}

/// Returns the length in bytes of what `rest` begins with, and whether it is worth keeping.
fn next_token(rest: &str, first: char) -> (usize, bool) {
    if rest.starts_with("//") {
        (rest.find('\n').unwrap_or(rest.len()), false)
    } else if rest.starts_with("/*") {
        (block_comment(rest), false)
    } else if let Some(length) = string(rest).or_else(|| character(rest)) {
        (length, false)
    } else if first.is_alphanumeric() || first == '_' {
        let word = rest.strip_prefix("r#").unwrap_or(rest);
        let end = word
            .find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(word.len());
        (rest.len() - word.len() + end, true)
    } else if rest.starts_with("::") {
        (2, true)
    } else {
        (first.len_utf8(), !first.is_whitespace())
    }
}

/// The length of the block comment that `rest` begins with; they nest.
fn block_comment(rest: &str) -> usize {
    let mut depth = 0_u32;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                break;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}

/// The length of the string literal of any kind that `rest` begins with.
fn string(rest: &str) -> Option<usize> {
    let body = rest.strip_prefix(['b', 'c']).unwrap_or(rest);
    if let Some(raw) = body.strip_prefix('r') {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw[hashes..].starts_with('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            let begin = rest.len() - raw.len() + hashes + 1;
            let length = rest[begin..]
                .find(&end)
                .map_or(rest.len(), |at| begin + at + end.len());
            return Some(length);
        }
    }
    body.starts_with('"').then(|| {
        let begin = rest.len() - body.len() + 1;
        begin + closing(&rest[begin..], '"')
    })
}

/// The length of the character literal that `rest` begins with; `None` for a lifetime.
fn character(rest: &str) -> Option<usize> {
    let body = rest.strip_prefix('b').unwrap_or(rest).strip_prefix('\'')?;
    let mut characters = body.chars();
    let first = characters.next()?;
    let begin = rest.len() - body.len();
    (first == '\\' || characters.next() == Some('\'')).then(|| begin + closing(body, '\''))
}

/// The length of `body` up to and with the `quote` that closes it.
fn closing(body: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, character) in body.char_indices() {
        if escaped {
            escaped = false;
        } else if character == '\\' {
            escaped = true;
        } else if character == quote {
            return at + 1;
        }
    }
    body.len()
}
