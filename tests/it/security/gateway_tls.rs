//! The way to Alipay: who is trusted, that a proxy of the environment gets nothing, and that no
//! answer leads the signed request elsewhere.

use std::net::TcpListener;

use super::certificates::{Issued, OldTlsServer, TlsServer};
use crate::daemon::world::{World, WorldOptions};
use crate::patience::eventually;
use crate::servers::tls_path;

const ELSEWHERE: &str = "HTTP/1.1 302 Found\r\nlocation: https://localhost:1/gateway.do\r\n\
                         set-cookie: a=b\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

async fn world() -> World {
    let options = WorldOptions {
        amqp: "memory:".to_owned(),
        redis: "memory:".to_owned(),
        ..WorldOptions::default()
    };
    World::start("gateway-tls", options).await
}

/// What `check` says of Alipay at `host:port`, with further variables.
async fn told(world: &World, authority: &str, variables: &[(&str, String)]) -> String {
    let gateway = format!("https://{authority}/gateway.do");
    let mut settings = vec![("HONGBAOD__ALIPAY__GATEWAY", gateway)];
    settings.extend_from_slice(variables);
    let mut check = world.hongbaod_with(&["check", "--json"], &settings);
    check.exit_code().await;
    let lines = check.written().text();
    let line = lines.lines().find(|line| line.contains("\"alipay\""));
    line.unwrap_or_else(|| panic!("no row of Alipay: {lines}"))
        .to_owned()
}

/// The private authority of a proxy that opens TLS, as the system's.
fn trusting() -> (&'static str, String) {
    ("SSL_CERT_FILE", tls_path("ca.pem"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_is_not_trusted_hears_nothing_of_a_request() {
    let world = world().await;
    let good = TlsServer::start(&Issued::new("IP:127.0.0.1", "30"), ELSEWHERE);
    let expired = TlsServer::start(&Issued::new("IP:127.0.0.1", "-1"), ELSEWHERE);
    let other_name = TlsServer::start(&Issued::new("DNS:elsewhere.test", "30"), ELSEWHERE);
    for (why, server, variables) in [
        ("UnknownIssuer", &good, vec![]),
        ("peer certificate: Expired", &expired, vec![trusting()]),
        ("not valid for name", &other_name, vec![trusting()]),
    ] {
        let row = told(&world, &server.address.to_string(), &variables).await;
        assert!(
            row.contains("cannot be reached") && row.contains(why),
            "{why}: {row}"
        );
        assert_eq!((server.greeted(), server.heard()), (0, String::new()));
    }
    let old = OldTlsServer::start(Issued::new("IP:127.0.0.1", "30"));
    eventually("a server of TLS 1.1", async || old.lets_its_peers_in()).await;
    let authority = format!("127.0.0.1:{}", old.port);
    let row = told(&world, &authority, &[trusting()]).await;
    let why = "ProtocolVersion";
    assert!(
        row.contains("cannot be reached") && row.contains(why),
        "TLS 1.1: {row}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_of_the_environment_gets_nothing_and_a_redirect_is_not_followed() {
    let world = world().await;
    let server = TlsServer::start(&Issued::new("IP:127.0.0.1,DNS:localhost", "30"), ELSEWHERE);
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    proxy.set_nonblocking(true).unwrap();
    let proxy_url = format!("http://{}", proxy.local_addr().unwrap());
    let mut variables = vec![trusting()];
    for name in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        variables.push((name, proxy_url.clone()));
    }
    let row = told(&world, &server.address.to_string(), &variables).await;
    // The redirect leads to a port where nobody listens, so following it would read otherwise.
    assert!(row.contains("answers HTTP 302"), "{row}");
    let nobody = proxy.accept().map(|(_, from)| from);
    assert_eq!(nobody.unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    assert_eq!(server.greeted(), 1);
    let heard = server.heard();
    assert!(heard.starts_with("POST /gateway.do?"), "{heard}");
    let head = heard.to_ascii_lowercase();
    for header in ["cookie:", "referer:", "accept-encoding:"] {
        assert!(!head.contains(header), "{header} in {heard}");
    }
}
