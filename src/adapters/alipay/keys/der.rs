//! What kind of key a piece of DER is, told from its outermost elements.

use rsa::pkcs8::der::asn1::AnyRef;
use rsa::pkcs8::der::{Decode, Reader, Tag, Tagged};

use crate::adapters::alipay::keys::Found;

/// The structures that turn up where a key belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// `RSAPrivateKey`, RFC 8017 A.1.2.
    Pkcs1Private,
    /// `RSAPublicKey`, RFC 8017 A.1.1.
    Pkcs1Public,
    /// `PrivateKeyInfo`, RFC 5208 5.
    Pkcs8,
    /// `EncryptedPrivateKeyInfo`, RFC 5208 6.
    EncryptedPkcs8,
    /// `SubjectPublicKeyInfo`, RFC 5280 4.1.
    Spki,
    /// `Certificate`, RFC 5280 4.1, or `CertificationRequest`, RFC 2986 4.
    Certificate,
    /// `ECPrivateKey`, RFC 5915 3.
    EcPrivate,
}

impl Shape {
    /// Returns the shape of `der`, or `None` for anything else, trailing bytes included.
    pub(super) fn of(der: &[u8]) -> Option<Self> {
        let tags = AnyRef::from_der(der)
            .and_then(|outermost| {
                outermost.sequence(|reader| {
                    let mut tags = Vec::new();
                    while !reader.is_finished() {
                        tags.push(reader.decode::<AnyRef<'_>>()?.tag());
                    }
                    Ok(tags)
                })
            })
            .ok()?;
        match tags.as_slice() {
            [Tag::Integer, Tag::Integer] => Some(Self::Pkcs1Public),
            [Tag::Integer, Tag::Sequence, Tag::OctetString, ..] => Some(Self::Pkcs8),
            [Tag::Integer, Tag::OctetString, ..] => Some(Self::EcPrivate),
            [Tag::Sequence, Tag::BitString] => Some(Self::Spki),
            [Tag::Sequence, Tag::OctetString] => Some(Self::EncryptedPkcs8),
            [Tag::Sequence, Tag::Sequence, Tag::BitString] => Some(Self::Certificate),
            integers if integers.len() == 9 && integers.iter().all(|tag| *tag == Tag::Integer) => {
                Some(Self::Pkcs1Private)
            }
            _ => None,
        }
    }

    /// Returns what to call this shape where another one was wanted.
    pub(super) fn found(self) -> Found {
        match self {
            Self::Pkcs1Private | Self::Pkcs8 => Found::PrivateKey,
            Self::Pkcs1Public | Self::Spki => Found::PublicKey,
            Self::EncryptedPkcs8 => Found::Encrypted,
            Self::Certificate => Found::Certificate,
            Self::EcPrivate => Found::OtherAlgorithm,
        }
    }
}
