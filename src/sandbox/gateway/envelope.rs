//! How an answer is written and signed: the exact bytes, in every form that was seen.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::Value;

use crate::adapters::alipay::content_key::ContentKey;
use crate::adapters::alipay::sign::SignType;
use crate::adapters::alipay::wire::Charset;
use crate::sandbox::faults::{AnswerKnobs, ErrorCharset, InnerSign, Slashes, Whitespace};
use crate::sandbox::gateway::node::Node;
use crate::sandbox::gateway::params::encode;
use crate::sandbox::identity::Identity;

/// Writes the answers to one call.
pub(super) struct Writer<'a> {
    /// Who signs.
    pub(super) identity: Arc<Identity>,
    /// What contents are encrypted with; `None`: they are not.
    pub(super) content_key: Option<&'a ContentKey>,
    pub(super) knobs: &'a AnswerKnobs,
    pub(super) sign_type: SignType,
    /// The call's charset.
    pub(super) charset: Charset,
    /// The node's name.
    pub(super) name: &'a str,
}

/// A node as it is written, and what of it is signed.
struct Written {
    text: String,
    /// `None`: the text itself.
    signed: Option<String>,
}

impl Writer<'_> {
    /// The charset that an answer with this node is in.
    pub(super) fn charset_for(&self, node: &Node) -> Charset {
        match self.knobs.errors {
            ErrorCharset::AsRequested => self.charset,
            // Source: some error answers are in GBK whatever the request asked for.
            ErrorCharset::Gbk if node.is_success() => self.charset,
            ErrorCharset::Gbk => Charset::Gbk,
        }
    }

    /// `{"<name>":<node>,"sign":"..."}`; unsigned in the unheard-of case that the library fails
    /// to sign.
    pub(super) fn signed(&self, node: &Node) -> Vec<u8> {
        let written = self.written(node);
        let sign = self.sign(&written, self.charset_for(node));
        self.assembled(&[&written.text], sign.as_deref(), self.charset_for(node))
    }

    /// The signed answer as the phone's SDK hands it on: as text, and its sign type with it.
    pub(super) fn for_phone(&self, node: &Node) -> String {
        let written = self.written(node);
        let sign = self.sign(&written, self.charset).unwrap_or_default();
        let cert_sn = self.identity.cert_sn();
        let cert_sn = cert_sn.map(|sn| format!("\"alipay_cert_sn\":\"{sn}\","));
        format!(
            r#"{{"{}":{},{}"sign":"{sign}","sign_type":"{}"}}"#,
            self.name,
            written.text,
            cert_sn.unwrap_or_default(),
            self.sign_type.as_str()
        )
    }

    pub(super) fn unsigned(&self, node: &Node) -> Vec<u8> {
        let written = self.written(node);
        self.assembled(&[&written.text], None, self.charset_for(node))
    }

    /// The lie, under a real signature of the truth: the right length, and it does not verify.
    pub(super) fn forged(&self, truth: &Node, lie: &Node) -> Vec<u8> {
        let sign = self.sign(&self.written(truth), self.charset);
        self.assembled(&[&self.written(lie).text], sign.as_deref(), self.charset)
    }

    /// Two nodes of one name: the lie first, then the truth, which is the signed one.
    pub(super) fn doubled(&self, truth: &Node, lie: &Node) -> Vec<u8> {
        let written = self.written(truth);
        let sign = self.sign(&written, self.charset);
        let nodes = [&*self.written(lie).text, &written.text];
        self.assembled(&nodes, sign.as_deref(), self.charset)
    }

    fn sign(&self, written: &Written, charset: Charset) -> Option<String> {
        let signed = written.signed.as_ref().unwrap_or(&written.text);
        let bytes = encode(signed, charset);
        self.identity
            .sign(self.sign_type, self.knobs.signatures, &bytes)
    }

    fn written(&self, node: &Node) -> Written {
        let text = match self.knobs.inner_sign {
            InnerSign::Absent => Cow::Borrowed(node.json()),
            // Members that confuse readers which look for text instead of parsing.
            InnerSign::Present => {
                let inner = node.json().trim_start_matches('{');
                let confusing = r#"{"sign":"not this one","note":"}\",\"sign\":\"nor this\"","#;
                Cow::Owned(format!("{confusing}{inner}"))
            }
        };
        let text = match self.knobs.whitespace {
            Whitespace::Compact => text.into_owned(),
            Whitespace::Pretty => pretty(&text).unwrap_or_else(|| text.into_owned()),
        };
        // Source: an encrypted node is a string, and its quotes are signed with it.
        let encrypted = self
            .content_key
            .and_then(|key| key.encrypt(&encode(&text, self.charset_for(node))).ok());
        let text = encrypted.map_or(text, |encrypted| format!("\"{encrypted}\""));
        // Alipay's own JSON escapes no slash; a `/` is never a part of a longer GBK character.
        let escaped = || text.replace('/', r"\/");
        match self.knobs.slashes {
            Slashes::Plain => Written { text, signed: None },
            Slashes::Escaped => Written {
                text: escaped(),
                signed: None,
            },
            Slashes::EscapedAfterSigning => Written {
                text: escaped(),
                signed: Some(text),
            },
        }
    }

    fn assembled(&self, nodes: &[&str], sign: Option<&str>, charset: Charset) -> Vec<u8> {
        let (open, colon, comma, close) = match self.knobs.whitespace {
            Whitespace::Compact => ("{", ":", ",", "}"),
            Whitespace::Pretty => ("{\r\n  ", " : ", " ,\r\n  ", "\r\n}\r\n"),
        };
        let name = self.name;
        let mut members: Vec<_> = nodes
            .iter()
            .map(|node| format!("\"{name}\"{colon}{node}"))
            .collect();
        // Source: in certificate mode it stands between the node and the signature.
        let cert_sn = self.identity.cert_sn().filter(|_| sign.is_some());
        members.extend(cert_sn.map(|sn| format!("\"alipay_cert_sn\"{colon}\"{sn}\"")));
        members.extend(sign.map(|sign| format!("\"sign\"{colon}\"{sign}\"")));
        let text = format!("{open}{}{close}", members.join(comma));
        match charset {
            Charset::Utf8 => text.into_bytes(),
            Charset::Gbk => encode(&text, charset).into_owned(),
        }
    }
}

fn pretty(json: &str) -> Option<String> {
    let value: Value = serde_json::from_str(json).ok()?;
    serde_json::to_string_pretty(&value).ok()
}
