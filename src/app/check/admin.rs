//! The addresses to listen on: free, or ours already.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::app::check::{Row, State};
use crate::app::config::Config;

/// How long whoever listens there may take to show its page.
const PAGE_TIMEOUT: Duration = Duration::from_secs(2);

/// How much of the page is read, in bytes.
const PAGE_BYTES_MAX: u64 = 64 * 1024;

/// The admin page's address, and that for notifications where there is one.
pub(super) async fn check(config: &Config) -> Vec<Row> {
    let mut rows = vec![check_one(config, "admin", config.admin.listen).await];
    if let Some(listen) = config.notify.listen {
        rows.push(check_one(config, "notify", listen).await);
    }
    rows
}

/// Takes the address for a moment and gives it back; if it is taken, asks who is there.
async fn check_one(config: &Config, area: &'static str, listen: SocketAddr) -> Row {
    let subject = format!("listen on {listen}");
    let error = match TcpListener::bind(listen).await {
        Ok(_listener) => return Row::new(area, subject, State::Ok, "free"),
        Err(error) => error,
    };
    // The listener for notifications does not say who it is; its daemon's admin page does.
    if error.kind() == io::ErrorKind::AddrInUse && is_hongbaod(config.admin.listen).await {
        let detail = "taken by a hongbaod that runs here already";
        return Row::new(area, subject, State::Note, detail);
    }
    let fault = format!("cannot be listened on: {error}");
    let remedy = "choose another address, or end what listens there".to_owned();
    let problem = config.problem(&format!("{area}.listen"), fault, remedy);
    Row::new(area, subject, State::Mistake, problem.to_string())
}

/// Whether the page at an address says that it is ours.
async fn is_hongbaod(listen: SocketAddr) -> bool {
    let page = async {
        let mut stream = TcpStream::connect(listen).await?;
        let request = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        stream.write_all(request).await?;
        let mut page = Vec::new();
        stream.take(PAGE_BYTES_MAX).read_to_end(&mut page).await?;
        Ok::<_, io::Error>(page)
    };
    match timeout(PAGE_TIMEOUT, page).await {
        Ok(Ok(page)) => String::from_utf8_lossy(&page).contains("hongbaod"),
        Ok(Err(_)) | Err(_) => false,
    }
}
