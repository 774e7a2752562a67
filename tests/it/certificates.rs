//! Certificate mode's numbers and chains against an independent implementation, the `openssl`
//! command, which also makes every certificate here.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed step of the set-up is a failed test"
)]

use std::fs;
use std::path::Path;
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hongbaod::adapters::alipay::certificates::{
    Certificate, CertificateChain, ChainError, RootBundle,
};
use hongbaod::adapters::alipay::keys::PrivateKey;
use tempfile::TempDir;

/// Runs `openssl` in `dir` and returns what it printed.
fn openssl(dir: &Path, arguments: &[&str]) -> String {
    let output = Command::new("openssl")
        .args(arguments)
        .current_dir(dir)
        .output()
        .expect("the openssl command is installed");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {arguments:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

/// Names of the certificates that are made, most general part first.
const ROOT: &str = "/C=CN/O=Ant Financial/OU=Certification Authority/CN=Test Root R1";
const MIDDLE: &str = "/C=CN/O=Ant Financial/OU=Certification Authority/CN=Class 2 R1";
pub(crate) const ALIPAY: &str =
    "/C=CN/O=支付宝(中国)网络技术有限公司/OU=Alipay/CN=支付宝-2088000000000001";

/// A directory with private keys and the certificates of one small world:
/// `root` ← `middle` ← `alipay`, and `elliptic`, a root of ECDSA.
pub(crate) struct World {
    dir: TempDir,
}

/// How a certificate is made.
pub(crate) struct Made<'a> {
    pub(crate) name: &'a str,
    pub(crate) subject: &'a str,
    pub(crate) issuer: &'a str,
    pub(crate) extensions: &'a str,
    pub(crate) options: &'a [&'a str],
}

impl World {
    pub(crate) fn new() -> Self {
        let world = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        for name in ["root", "middle", "alipay", "other"] {
            world.openssl(&["genrsa", "-out", &format!("{name}.key"), "2048"]);
        }
        world.openssl(&[
            "ecparam",
            "-name",
            "prime256v1",
            "-genkey",
            "-noout",
            "-out",
            "elliptic.key",
        ]);
        let authority = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign";
        world.make(&Made {
            name: "root",
            subject: ROOT,
            issuer: "root",
            extensions: authority,
            options: &["-days", "7300"],
        });
        world.make(&Made {
            name: "elliptic",
            subject: "/C=CN/CN=Elliptic",
            issuer: "elliptic",
            extensions: authority,
            options: &[],
        });
        world.make(&Made {
            name: "middle",
            subject: MIDDLE,
            issuer: "root",
            extensions: "basicConstraints=critical,CA:TRUE,pathlen:0",
            options: &["-days", "7300"],
        });
        world.make(&Made {
            name: "alipay",
            subject: ALIPAY,
            issuer: "middle",
            extensions: "basicConstraints=CA:FALSE",
            options: &[],
        });
        world
    }

    pub(crate) fn openssl(&self, arguments: &[&str]) -> String {
        openssl(self.dir.path(), arguments)
    }

    /// Where its files are.
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn read(&self, file: &str) -> String {
        fs::read_to_string(self.dir.path().join(file)).unwrap()
    }

    /// Makes `name.crt` for the key `name.key`, signed by the issuer's key.
    pub(crate) fn make(&self, made: &Made<'_>) {
        let Made {
            name,
            subject,
            issuer,
            extensions,
            options,
        } = made;
        let [key, request, extension_file, certificate] =
            ["key", "csr", "ext", "crt"].map(|end| format!("{name}.{end}"));
        fs::write(self.dir.path().join(&extension_file), extensions).unwrap();
        self.openssl(&[
            "req", "-new", "-utf8", "-key", &key, "-subj", subject, "-out", &request,
        ]);
        let issuer_key = format!("{issuer}.key");
        let issuer_certificate = format!("{issuer}.crt");
        let mut arguments = vec![
            "x509",
            "-req",
            "-in",
            &request,
            "-extfile",
            &extension_file,
            "-out",
            &certificate,
        ];
        if issuer == name {
            arguments.extend(["-signkey", &issuer_key]);
        } else {
            arguments.extend(["-CA", &issuer_certificate, "-CAkey", &issuer_key]);
        }
        let is_given = |option| options.contains(&option);
        if !is_given("-days") {
            arguments.extend(["-days", "3650"]);
        }
        if !is_given("-set_serial") && issuer != name {
            arguments.push("-CAcreateserial");
        }
        arguments.extend(*options);
        self.openssl(&arguments);
    }

    /// Alipay's SN by `openssl x509` and `openssl dgst -md5` alone.
    fn serial_number(&self, file: &str) -> String {
        let issuer = self.openssl(&[
            "x509",
            "-in",
            file,
            "-noout",
            "-issuer",
            "-nameopt",
            "RFC2253,-esc_msb,utf8",
        ]);
        let issuer = issuer.trim_end().strip_prefix("issuer=").unwrap();
        let serial = self.openssl(&["x509", "-in", file, "-noout", "-serial"]);
        let serial = serial.trim_end().strip_prefix("serial=").unwrap();
        fs::write(
            self.dir.path().join("digested"),
            format!("{issuer}{}", decimal(serial)),
        )
        .unwrap();
        let digest = self.openssl(&["dgst", "-md5", "-r", "digested"]);
        digest.split(' ').next().unwrap().to_owned()
    }
}

/// Hexadecimal to decimal, of any length, by schoolbook arithmetic.
fn decimal(hex: &str) -> String {
    let mut digits = vec![0_u32];
    for nibble in hex.chars().map(|c| c.to_digit(16).unwrap()) {
        let mut carry = nibble;
        for digit in &mut digits {
            let value = *digit * 16 + carry;
            *digit = value % 10;
            carry = value / 10;
        }
        while carry > 0 {
            digits.push(carry % 10);
            carry /= 10;
        }
    }
    let digits = digits.iter().rev();
    digits.map(|&d| char::from_digit(d, 10).unwrap()).collect()
}

#[test]
fn serial_numbers_are_those_that_openssl_and_md5_give() {
    let world = World::new();
    for (place, serial) in ["1", "0xff", "0x8000000000000000000000000000000000000001"]
        .into_iter()
        .enumerate()
    {
        for (subject, name) in [
            (ROOT, "other"),
            ("/C=CN/ST=浙江/L=杭州/O=a, b+c/CN=x", "other"),
            ("/DC=com/DC=alipay/UID=7/CN= blanks ", "other"),
        ] {
            world.make(&Made {
                name,
                subject,
                issuer: name,
                extensions: "basicConstraints=CA:TRUE",
                options: &["-set_serial", serial],
            });
            let ours = Certificate::parse(&world.read("other.crt")).unwrap();
            assert_eq!(
                ours.serial_number(),
                world.serial_number("other.crt"),
                "{place} {subject}"
            );
        }
    }
}

#[test]
fn a_certificate_is_read_from_every_text_that_holds_it() {
    let world = World::new();
    let pem = world.read("alipay.crt");
    let expected = Certificate::parse(&pem).unwrap();
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    world.openssl(&[
        "x509",
        "-in",
        "alipay.crt",
        "-text",
        "-out",
        "with_text.crt",
    ]);
    for text in [
        body.clone(),
        pem.replace('\n', "\r\n"),
        pem.replace('\n', "\\n"),
        world.read("with_text.crt"),
        format!("{pem}{}", world.read("middle.crt")),
        format!("\u{feff}subject=/CN=x\n\n{pem}\ntext"),
    ] {
        assert_eq!(Certificate::parse(&text).unwrap(), expected, "{text}");
    }
    let key = PrivateKey::parse(&world.read("alipay.key")).unwrap();
    assert_eq!(expected.public_key().unwrap(), key.public_key());

    let request = world.read("alipay.csr");
    let request_body: String = request
        .lines()
        .filter(|line| !line.starts_with('-'))
        .collect();
    let cut = pem.lines().take(4).collect::<Vec<_>>().join("\n");
    for (text, error) in [
        (String::new(), "the certificate is empty"),
        (" \r\n".to_owned(), "the certificate is empty"),
        (cut, "a PEM without its END line"),
        (
            "who?".to_owned(),
            "neither a PEM certificate nor the base64 of one",
        ),
        (
            world.read("alipay.key"),
            "a private key where an X.509 certificate belongs",
        ),
        (
            request,
            "a certificate request where an X.509 certificate belongs",
        ),
        (
            key.public_key().to_spki_pem(),
            "a public key where an X.509 certificate belongs",
        ),
        (
            request_body,
            "not an X.509 certificate, or one that is cut short",
        ),
        (
            body[..body.len() - 8].to_owned(),
            "not an X.509 certificate, or one that is cut short",
        ),
    ] {
        assert_eq!(Certificate::parse(&text).unwrap_err().to_string(), error);
    }
}

/// Gives the ECDSA algorithm of the outer signature NULL parameters, as one of Alipay's roots
/// has them: RFC 5758 3.2 forbids them, and strict readers refuse the certificate.
fn with_null_parameters(pem: &str) -> String {
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let mut der = STANDARD.decode(body).unwrap();
    let plain = [
        0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02,
    ];
    let at = der.windows(12).rposition(|window| window == plain).unwrap();
    let with_null = [
        0x30, 0x0c, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02, 5, 0,
    ];
    der.splice(at..at + 12, with_null);
    assert_eq!(&der[..2], [0x30, 0x82], "a length of two bytes");
    let length = u16::from_be_bytes([der[2], der[3]]) + 2;
    der[2..4].copy_from_slice(&length.to_be_bytes());
    format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        STANDARD.encode(der)
    )
}

#[test]
fn a_strange_bundle_gives_the_numbers_of_its_rsa_roots() {
    let world = World::new();
    let [root, elliptic, alipay] =
        ["root.crt", "elliptic.crt", "alipay.crt"].map(|file| world.read(file));
    let null = with_null_parameters(&elliptic);
    let garbage = "-----BEGIN CERTIFICATE-----\nMIIBgarbage\n-----END CERTIFICATE-----\n";
    let unfinished = "-----BEGIN CERTIFICATE-----\nMIIB\n";
    let key = world.read("root.key");
    let [root_sn, alipay_sn] = ["root.crt", "alipay.crt"].map(|file| world.serial_number(file));
    let both = format!("{root_sn}_{alipay_sn}");

    for (text, numbers, others, broken) in [
        (root.clone(), &root_sn, 0, 0),
        (format!("{elliptic}{root}{alipay}"), &both, 1, 0),
        (format!("{root}{null}{alipay}"), &both, 1, 0),
        (format!("{garbage}{root}{unfinished}{alipay}"), &both, 0, 2),
        (
            format!("{root}\r\n=== next\r\n{alipay}").replace('\n', "\r\n"),
            &both,
            0,
            0,
        ),
        (format!("{key}{root}{alipay}{unfinished}"), &both, 0, 2),
    ] {
        let bundle = RootBundle::parse(&text).unwrap();
        assert_eq!(bundle.serial_number(), numbers);
        // A strict reader may refuse what a lenient one passes over.
        let passed_over = bundle.other_algorithms() + bundle.broken();
        assert_eq!(passed_over, others + broken, "{text}");
    }
    for (text, error) in [
        (
            String::new(),
            "no certificate signed with RSA among the 0 in the file",
        ),
        (
            elliptic,
            "no certificate signed with RSA among the 1 in the file",
        ),
        (
            key,
            "no certificate signed with RSA among the 1 in the file",
        ),
        (
            root.repeat(65),
            "more than 64 certificates: this is not Alipay's root file",
        ),
    ] {
        assert_eq!(RootBundle::parse(&text).unwrap_err().to_string(), error);
    }
}

#[test]
fn only_a_chain_of_good_signatures_leads_to_a_root() {
    let world = World::new();
    let leaf = Certificate::parse(&world.read("alipay.crt")).unwrap();
    let now = leaf.not_before();
    let [root, middle, alipay, elliptic] =
        ["root.crt", "middle.crt", "alipay.crt", "elliptic.crt"].map(|file| world.read(file));
    let check = |bundle: &str, chain: &str, at: i64| {
        let chain = CertificateChain::parse(chain).unwrap();
        RootBundle::parse(bundle).unwrap().verify(&chain, at)
    };
    let whole = format!("{alipay}{middle}");
    let soon = leaf.not_after();
    for (bundle, chain, at, result) in [
        (&root, &whole, now, Ok(())),
        (&root, &whole, soon, Ok(())),
        (
            &root,
            &format!("{alipay}{elliptic}{root}{middle}"),
            now,
            Ok(()),
        ),
        (&format!("{elliptic}{root}{middle}"), &alipay, now, Ok(())),
        (&root, &middle, now, Ok(())),
        (&root, &alipay, now, Err(ChainError::NoRoot)),
        (&root, &whole, now - 10, Err(ChainError::NotValid)),
        (&root, &whole, soon + 1, Err(ChainError::NotValid)),
    ] {
        assert_eq!(check(bundle, chain, at), result, "{at}");
    }
}

#[test]
fn a_chain_of_the_same_names_and_other_keys_leads_nowhere() {
    let world = World::new();
    let forger = World::new();
    let bundle = RootBundle::parse(&world.read("root.crt")).unwrap();
    let forged = forger.read("alipay.crt");
    let now = Certificate::parse(&forged).unwrap().not_before() + 60;
    for middle in [world.read("middle.crt"), forger.read("middle.crt")] {
        let chain = CertificateChain::parse(&format!("{forged}{middle}")).unwrap();
        assert_eq!(bundle.verify(&chain, now), Err(ChainError::NoRoot));
    }
}

#[test]
fn who_may_not_sign_certificates_is_no_part_of_a_chain() {
    let world = World::new();
    let [root, middle, alipay] =
        ["root.crt", "middle.crt", "alipay.crt"].map(|file| world.read(file));
    let bundle = RootBundle::parse(&root).unwrap();
    let now = Certificate::parse(&alipay).unwrap().not_before() + 60;
    let rows: [(&str, &str, &[&str]); 4] = [
        // An owner's certificate may not sign.
        ("alipay", "basicConstraints=CA:FALSE", &[]),
        // The middle may sign owners, and no further authority.
        ("middle", "basicConstraints=CA:TRUE", &[]),
        // SHA-1 can be forged.
        ("middle", "basicConstraints=CA:FALSE", &["-sha1"]),
        ("elliptic", "basicConstraints=CA:FALSE", &[]),
    ];
    for (issuer, extensions, options) in rows {
        world.make(&Made {
            name: "other",
            subject: "/CN=other",
            issuer,
            extensions,
            options,
        });
        let mut chain = format!("{}{alipay}{middle}", world.read("other.crt"));
        if extensions.ends_with("TRUE") {
            // One further down, below the authority that the middle may not have.
            world.make(&Made {
                name: "alipay",
                subject: ALIPAY,
                issuer: "other",
                extensions: "basicConstraints=CA:FALSE",
                options: &[],
            });
            chain = format!("{}{chain}", world.read("alipay.crt"));
        }
        let chain = CertificateChain::parse(&chain).unwrap();
        assert_eq!(
            bundle.verify(&chain, now),
            Err(ChainError::NoRoot),
            "{issuer} {options:?}"
        );
    }
}

#[test]
fn a_changed_certificate_has_no_chain() {
    let world = World::new();
    let [root, middle, alipay] =
        ["root.crt", "middle.crt", "alipay.crt"].map(|file| world.read(file));
    let bundle = RootBundle::parse(&root).unwrap();
    let leaf = Certificate::parse(&alipay).unwrap();
    let now = leaf.not_before();
    // One bit of the name: the shape stays, the signature does not.
    let mut der = leaf.as_der().to_vec();
    let at = der.windows(6).position(|bytes| bytes == b"Alipay").unwrap();
    der[at] = b'E';
    let chain = format!("{}\n", STANDARD.encode(&der));
    let changed = CertificateChain::parse(&chain).unwrap();
    assert!(changed.leaf().has_owner_of(&leaf));
    assert_eq!(bundle.verify(&changed, now), Err(ChainError::NoRoot));

    let with_middle =
        format!("-----BEGIN CERTIFICATE-----\n{chain}-----END CERTIFICATE-----\n{middle}");
    let changed = CertificateChain::parse(&with_middle).unwrap();
    assert_eq!(bundle.verify(&changed, now), Err(ChainError::NoRoot));
    let whole = CertificateChain::parse(&format!("{alipay}{middle}")).unwrap();
    assert_eq!(bundle.verify(&whole, now), Ok(()));
}

#[test]
fn the_owner_is_the_organization_or_the_whole_name() {
    let world = World::new();
    let alipay = Certificate::parse(&world.read("alipay.crt")).unwrap();
    let middle = Certificate::parse(&world.read("middle.crt")).unwrap();
    let elliptic = Certificate::parse(&world.read("elliptic.crt")).unwrap();
    world.make(&Made {
        name: "other",
        subject: "/C=CN/O=支付宝(中国)网络技术有限公司/CN=支付宝-2088000000000002",
        issuer: "middle",
        extensions: "basicConstraints=CA:FALSE",
        options: &[],
    });
    let other = Certificate::parse(&world.read("other.crt")).unwrap();
    assert!(alipay.has_owner_of(&other));
    assert!(elliptic.has_owner_of(&elliptic));
    assert!(!alipay.has_owner_of(&middle));
    assert!(!alipay.has_owner_of(&elliptic));
    assert!(!elliptic.has_owner_of(&alipay));
}
